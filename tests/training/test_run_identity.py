"""What a run began with: decoder, tokenizer and prompts are compared when it goes on."""

import datetime
import json

import pytest

from papo_jax.errors import InputError
from papo_jax.training import run_identity

MADE = {
    "began": "2026-11-30T23:59:00",
    "data": {"fingerprint": "d"},
    "model": {"fingerprint": "m"},
    "decoder": {"architecture": "qwen2", "rope_theta": 1e4, "eps": 1e-6},
    "tokenizer": {"tokenizer.json": "a", "tokenizer_config.json": "b"},
    "prompts": {
        "chat template": "t",
        "template writes the date": True,
        "special tokens": {"eos_token": "<eos>"},
        "stop tokens": ["<eos> (1)"],
        "training prompts": "p",
    },
}


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / "provenance.json").write_text(json.dumps(MADE))
    return tmp_path


def changed(section, **changes):
    return {**MADE, section: {**MADE[section], **changes}}


def test_the_same_run_goes_on(workdir):
    run_identity.check_identity(workdir, MADE)
    # An evaluation has no prompts to train on.
    prompts = {key: MADE["prompts"][key] for key in MADE["prompts"] if key != "training prompts"}
    run_identity.check_identity(workdir, {**MADE, "prompts": prompts})


@pytest.mark.parametrize(
    "section, changes, said",
    [
        ("data", {"fingerprint": "x"}, "other problems of task.name"),
        ("model", {"fingerprint": "x"}, "other weights of model.path"),
        ("decoder", {"rope_theta": 1e6}, "rope_theta = 10000.0 in model.path, not 1000000.0"),
        ("tokenizer", {"tokenizer.json": "x"}, "another tokenizer.json in model.path"),
        ("prompts", {"chat template": "x"}, "another chat template"),
        ("prompts", {"chat template": None}, "another chat template"),
        ("prompts", {"stop tokens": ["<end> (2)"]}, r"stop tokens \['<eos> \(1\)'\], not"),
        ("prompts", {"special tokens": {}}, "special tokens"),
        ("prompts", {"training prompts": "x"}, "other training prompts: their tokens differ"),
    ],
)
def test_a_difference_is_refused_in_one_line(workdir, section, changes, said):
    with pytest.raises(InputError, match=f"a run that began with .*{said}") as caught:
        run_identity.check_identity(workdir, changed(section, **changes))
    assert "\n" not in str(caught.value)


def test_a_file_of_the_tokenizer_more_or_less(workdir):
    more = {**MADE, "tokenizer": {**MADE["tokenizer"], "added_tokens.json": "c"}}
    with pytest.raises(InputError, match="another added_tokens.json"):
        run_identity.check_identity(workdir, more)
    with pytest.raises(InputError, match="another tokenizer_config.json"):
        run_identity.check_identity(workdir, {**MADE, "tokenizer": {"tokenizer.json": "a"}})


def test_a_section_that_is_not_there_is_said(workdir):
    (workdir / "provenance.json").write_text(json.dumps({"decoder": MADE["decoder"]}))
    with pytest.warns(UserWarning, match="does not say what tokenizer the run began with"):
        run_identity.check_identity(workdir, MADE)


def test_the_day_of_the_beginning_is_kept(workdir, tmp_path):
    assert run_identity.read_beginning(workdir) == datetime.datetime(2026, 11, 30, 23, 59)
    now = run_identity.read_beginning(tmp_path / "new")
    assert abs(datetime.datetime.now() - now) < datetime.timedelta(minutes=1)
