"""`--mode=export`: the newest checkpoint as a Hugging Face directory, and what is refused."""

import json

import jax
import numpy as np
import pytest

import run
from papo_jax import models
from papo_jax.models.formats import safetensors_read


@pytest.fixture(scope="module")
def trained(small, train, tmp_path_factory):
    place = tmp_path_factory.mktemp("trained")
    return train(small({"training.steps": 3}), place)[1], place


def everything(place) -> dict:
    """Every file and folder with its bytes and its time, but for the work directory's own time."""
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in place.rglob("*")
    }


def export(*flags) -> int:
    return run.main(["run.py", "--mode=export", *flags])


@pytest.fixture
def refused(capsys):
    def check(*flags) -> str:
        assert export(*flags) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        return said

    return check


def test_newest_checkpoint_bit_for_bit(trained, capsys):
    state, place = trained
    (place / "checkpoints" / "5.saving").mkdir()  # as a run that is going on may be writing
    before = everything(place)
    assert export(f"--workdir={place}") == 0
    assert f"step 3 exported to {place / 'export' / 'step_3'}" in capsys.readouterr().out
    policy = models.load(str(place / "export" / "step_3"))
    jax.tree.map(np.testing.assert_array_equal, policy.params, state.params)
    assert {
        path: found for path, found in everything(place).items() if "export" not in path.parts
    } == before
    tokens = policy.tokenizer("1+2=")["input_ids"]
    assert policy.tokenizer.decode(tokens) == "1+2="


def test_dtype_as_asked(trained, tmp_path):
    state, place = trained
    assert export(f"--workdir={place}", f"--output={tmp_path / 'half'}", "--dtype=bfloat16") == 0
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    got = models.load(str(tmp_path / "half")).params
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(
            a, np.asarray(b).astype("bfloat16").astype("float32")
        ),
        got,
        state.params,
    )


@pytest.mark.parametrize(
    "lora",
    [{}, pytest.param({"model.lora_rank": 2}, marks=pytest.mark.slow)],
    ids=["all weights", "adapters"],
)
def test_dtype_of_the_base_where_none_is_asked_for(small, train, policy_directory, tmp_path, lora):
    models.export(models.load(str(policy_directory)), tmp_path / "half", dtype="bfloat16")
    train(
        small({**lora, "model.path": str(tmp_path / "half"), "training.steps": 1}), tmp_path / "run"
    )
    assert export(f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'out'}") == 0
    assert set(safetensors_read.read_dtypes(tmp_path / "out").values()) == {"bfloat16"}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


def test_what_cannot_be_exported(trained, refused, tmp_path):
    _, place = trained
    assert "holds no run" in refused(f"--workdir={tmp_path}")
    (tmp_path / "config.json").write_text((place / "config.json").read_text())
    assert "no checkpoint yet" in refused(f"--workdir={tmp_path}")
    (tmp_path / "config.json").write_text(
        '{"model": {"path": "tiny", "remat": "none", "wings": 2}}'
    )
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    assert "wings" in refused(f"--workdir={tmp_path}")
    (tmp_path / "config.json").write_text("{")
    assert "cannot be read" in refused(f"--workdir={tmp_path}")
    for there in (place, place / "config.json"):
        assert "is there already" in refused(f"--workdir={place}", f"--output={there}")
    assert "leave --config.seed out" in refused(f"--workdir={place}", "--config.seed=1")
    assert "float32" in refused(f"--workdir={place}", "--dtype=float64")


def test_a_damaged_checkpoint(trained, refused, tmp_path):
    _, place = trained
    (tmp_path / "config.json").write_text((place / "config.json").read_text())
    (tmp_path / "checkpoints" / "7" / "default").mkdir(parents=True)
    with pytest.warns(UserWarning, match="checkpoint 7 is broken"):
        assert "none of the checkpoints [7]" in refused(f"--workdir={tmp_path}")


def test_flags_of_an_export_mean_nothing_to_training(capsys, tmp_path):
    assert run.main(["run.py", f"--workdir={tmp_path / 'x'}", "--output=y"]) == 2
    assert (
        "--output belongs to --mode=export" in capsys.readouterr().err
        and not (tmp_path / "x").exists()
    )
