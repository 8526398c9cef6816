"""Identity of a run with policies on disk: whatever of their files is changed, it is missed."""

import contextlib
import dataclasses
import datetime
import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax import models
from papo_jax.commands import export
from papo_jax.errors import InputError
from papo_jax.rollout.chat import ChatOptions
from papo_jax.telemetry.provenance import list_fingerprints
from papo_jax.training import learner_parts, run_directory, run_identity
from papo_jax.training.training_run import prepare_run
from tests.support.chat_templates import FAMILIES, equip_tokenizer


@pytest.fixture
def policies(policy_directory, tmp_path):
    """A function from a family of chat templates to a policy's directory that may be changed."""

    def make(family=None) -> pathlib.Path:
        if family is None:
            return shutil.copytree(policy_directory, tmp_path / "policy")
        policy = models.load(str(policy_directory))
        tokenizer = equip_tokenizer(policy.tokenizer, FAMILIES[family])
        rows = len(tokenizer) - policy.config.vocabulary_size
        embedding = np.pad(policy.params["embedding"], ((0, rows), (0, 0)))
        wider = dataclasses.replace(
            policy,
            config=dataclasses.replace(
                policy.config, vocabulary_size=len(tokenizer), max_positions=400
            ),
            params={**policy.params, "embedding": jnp.asarray(embedding)},
            source=None,
        )
        models.export(wider, tmp_path / "policy")
        return tmp_path / "policy"

    return make


@pytest.fixture
def describe(small):
    """A function from a directory to what `provenance.json` would say of the policy in it."""

    def make(directory, **options):
        settings = small({"model.path": str(directory), **options})
        described = models.describe(str(directory))
        with pytest.MonkeyPatch.context() as patch:  # no weights are needed
            patch.setattr(models, "load", lambda *_, **__: described)
            policy = learner_parts.load_policy(settings, None)
        chat = ChatOptions(settings.model.chat, settings.model.system)
        prompts = run_identity.describe_prompts(policy, chat, {})
        return {**run_identity.describe_policy(policy), "prompts": prompts}

    return make


def edit(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def claim(workdir, description):
    run_directory.write_description(workdir, {}, description)


def swap_digits(directory):
    path = directory / "tokenizer.json"
    document = json.loads(path.read_text())
    vocabulary = document["model"]["vocab"]
    vocabulary["3"], vocabulary["4"] = vocabulary["4"], vocabulary["3"]
    path.write_text(json.dumps(document))


def edit_template(directory):
    path = directory / "chat_template.jinja"
    path.write_text(path.read_text().replace("user", "human") + " ")


CHANGES = {
    "digits": (swap_digits, "another tokenizer.json in model.path"),
    "template": (edit_template, "another chat template"),
    "stop tokens": (
        lambda d: (d / "generation_config.json").write_text('{"eos_token_id": [7]}'),
        r"stop tokens \[.*not \[.*\(7\)",
    ),
    "rotation": (
        lambda d: edit(d / "config.json", rope_theta=5e5),
        "rope_theta = 10000.0 in model.path, not 500000.0",
    ),
    "norm": (lambda d: edit(d / "config.json", rms_norm_eps=1e-5), "norm_epsilon = 1e-06"),
    "scaling": (
        lambda d: edit(d / "config.json", rope_scaling={"rope_type": "linear", "factor": 2.0}),
        "rope_scaling = None in model.path, not {'",
    ),
    "positions": (lambda d: edit(d / "config.json", max_position_embeddings=48), "max_positions"),
    "beginning": (
        lambda d: edit(d / "tokenizer_config.json", bos_token="<|im_start|>"),
        "another tokenizer_config.json in model.path",
    ),
    "cleaning": (
        lambda d: edit(d / "tokenizer_config.json", clean_up_tokenization_spaces=True),
        "another tokenizer_config.json in model.path",
    ),
    "a new file": (
        lambda d: (d / "special_tokens_map.json").write_text('{"eos_token": "<eos>"}'),
        "another special_tokens_map.json in model.path",
    ),
}


@pytest.mark.parametrize("change, said", CHANGES.values(), ids=CHANGES.keys())
def test_another_decoder_tokenizer_or_template_is_refused(
    policies, describe, tmp_path, change, said
):
    directory = policies("chatml")
    (directory / "special_tokens_map.json").unlink(missing_ok=True)
    claim(tmp_path, describe(directory))
    run_identity.check_identity(tmp_path, describe(directory))
    change(directory)
    with pytest.raises(InputError, match=f"holds a run that began with .*{said}.* put that back"):
        run_identity.check_identity(tmp_path, describe(directory))


def test_what_changes_no_number_is_not_refused(policies, describe, tmp_path):
    directory = policies("chatml")
    claim(tmp_path, describe(directory, **{"model.chat": False}))
    edit_template(directory)  # it is not used, nor is one in the config
    edit(directory / "tokenizer_config.json", chat_template="{{ messages }}")
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))
    edit(directory / "generation_config.json", temperature=0.3)
    run_identity.check_identity(tmp_path, describe(directory, **{"model.chat": False}))


def test_checkpoints_keep_the_fingerprints_of_all_of_it(policies, describe):
    directory = policies("chatml")
    before = list_fingerprints(describe(directory))
    assert set(before) == {"decoder", "tokenizer", "prompts"}
    edit(directory / "config.json", rope_theta=5e5)
    swap_digits(directory)
    edit_template(directory)
    after = list_fingerprints(describe(directory))
    assert all(before[name] != after[name] for name in before)


def test_a_resumed_run_has_the_prompts_of_the_day_it_began(policies, small, tmp_path):
    directory, workdir = policies("dated"), tmp_path / "run"
    wide = {"rollout.max_prompt_tokens": 300, "model.path": str(directory)}

    def encode():
        with contextlib.closing(prepare_run(small(wide), workdir)) as run:
            return run.store, run.policy.tokenizer.decode(run.store[0]), run.policy.stop_tokens

    first, text, stops = encode()
    provenance = json.loads((workdir / "provenance.json").read_text())
    assert datetime.datetime.fromisoformat(provenance["began"]).strftime("%d %b %Y") in text
    assert len(stops) == 3  # of the generation config, the tokenizer and the template
    resumed, *_ = encode()
    np.testing.assert_array_equal(resumed.tokens, first.tokens)

    # Its prompts are those of the day it began, whatever day it is now.
    assert len(provenance["prompts"]["training prompts"]) == 64
    edit(workdir / "provenance.json", began="2024-07-26T11:30:00")
    with pytest.raises(InputError, match="began with other training prompts"):
        encode()
    del provenance["prompts"]["training prompts"]
    edit(workdir / "provenance.json", prompts=provenance["prompts"])
    assert "Today Date: 26 Jul 2024" in encode()[1]


def test_an_export_is_of_the_decoder_and_tokenizer_that_were_trained(
    policies, small, train, tmp_path
):
    directory, workdir = policies(), tmp_path / "run"
    train(small({"model.path": str(directory), "training.steps": 1}), workdir)
    edit(directory / "config.json", rope_theta=5e5)
    with pytest.raises(InputError, match="rope_theta = 10000.0"):
        export.export_checkpoint(workdir, None, dtype=None)
    edit(directory / "config.json", rope_theta=1e4)
    swap_digits(directory)
    with pytest.raises(InputError, match="tokenizer.json"):
        export.export_checkpoint(workdir, None, dtype=None)
    assert not (workdir / "export").exists()
