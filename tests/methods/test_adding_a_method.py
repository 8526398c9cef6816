"""docs/methods.md: its table has every preset at its numbers, and the method it adds trains."""

import fractions
import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import run
from papo_jax.errors import InputError
from papo_jax.methods import method_files, policy_gradients, presets
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, token_mean, unclipped_surrogate
from papo_jax.methods.token_batch import TokenBatch

ROOT = pathlib.Path(run.__file__).parent
PAGE = (ROOT / "docs/methods.md").read_text()
NAME = "sapo"

# `run.py`, with one more folder that methods are looked for in.
RUN = """
import sys
from papo_jax.methods import policy_gradients

policy_gradients.__path__.append(sys.argv.pop(1))
import run

sys.exit(run.main(sys.argv))
"""


(CODE,) = re.findall(
    rf"<!-- file: papo_jax/methods/policy_gradients/{NAME}.py -->\n```python\n(.*?)^```$",
    PAGE,
    re.DOTALL | re.MULTILINE,
)
# Of every method, whatever its loss.
COMMON = Method(Objective(unclipped_surrogate, token_mean)).hyperparameters().keys()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The page's file, in a folder of its own."""
    path = tmp_path_factory.mktemp("methods") / f"{NAME}.py"
    path.write_text(CODE)
    return path


TABLE, FIELDS = (
    PAGE[PAGE.index(begin) : PAGE.index(end)]
    for begin, end in (("## Presets", "## PAPO"), ("## PAPO", "## How"))
)


def test_table_has_every_preset():
    assert [name for name in presets.PRESETS if f"`{name}`" not in TABLE + FIELDS] == []
    assert NAME not in presets.PRESETS


@pytest.mark.parametrize(
    "line",
    [line for line in TABLE.splitlines() if line.startswith("| `")],
    ids=lambda line: line.split("`")[1],
)
def test_table_has_the_numbers_of_the_presets(line):
    names, _, _, settings, _ = line.strip("| ").split(" | ")
    settings = re.sub(
        r" \([^)]*\)", "", settings
    )  # what other presets of the row have instead: the next test's
    said = {
        key: fractions.Fraction(value)
        for key, value in re.findall(r"`(\w+)`:? ([\d./e-]*\d)", settings)
    }
    for low, high in re.findall(r"clip ([\d.e-]+)(?: / ([\d.e-]+))?", settings):
        said |= {"clip_low": fractions.Fraction(low), "clip_high": fractions.Fraction(high or low)}
    numbers = presets.hyperparameters(names.split("`")[1])
    assert {key: float(value) for key, value in said.items()} == {
        key: pytest.approx(numbers[key]) for key in said
    }
    # What it has beside what every preset has is there; a KL coefficient of 0 need not be.
    own = (
        numbers.keys()
        - COMMON
        - ({"kl_coefficient"} if not numbers.get("kl_coefficient") else set())
    )
    assert {key for key in own if f"`{key}`" not in settings} <= said.keys()


VARIANTS = [  # of the row, what its brackets say
    ("nsr", {"right": 0, "wrong": 1}),
    ("w_reinforce", {"right": 0.1, "wrong": 1}),
    ("bapo_code", {"positive_ratio": 0.5, "low_first": True}),
    ("stare_c2", {"wrong_weight": 0.9}),
]


@pytest.mark.parametrize("name, differs", VARIANTS, ids=[name for name, _ in VARIANTS])
def test_the_other_presets_of_a_row_differ_as_its_brackets_say(name, differs):
    (line,) = (
        line
        for line in TABLE.splitlines()
        if line.startswith("| `") and f"`{name}`" in line.split("|")[1]
    )
    first = line.split("`")[1]
    numbers, beside = presets.hyperparameters(name), presets.hyperparameters(first)
    assert {
        key: numbers[key] for key in numbers if numbers[key] != beside[key] and key != "pack"
    } == differs
    said = " ".join(re.findall(r"\(([^)]*)\)", line.split(" | ")[3]))
    for value in differs.values():
        assert re.search(rf"\b{str(value).lower()}\b", said), said


def test_objective_by_hand(file):
    specification = importlib.util.spec_from_file_location(NAME, file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    (preset,) = module.PRESETS
    logprob = np.log(np.float32([[5, 2, 5, 1]]))
    tokens = TokenBatch(
        logprob=logprob,
        old_logprob=0 * logprob,
        weighted_advantages=np.float32([[-1, -1, 1, -1]]),
        mask=np.ones((1, 4), bool),
    )
    out = preset().objective(tokens, right_temperature=0.5, wrong_temperature=2.0)
    # A mean over four tokens. A = -1: 2 / (1 + e^-8), 2 / (1 + e^-2) and 1 for the ratios 5, 2 and
    # 1; A = 1: -8 / (1 + e^-2) for the ratio 5.
    sigmoid_two, sigmoid_eight = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-8.0))
    expected = (2 * sigmoid_eight + 2 * sigmoid_two - 8 * sigmoid_two + 1) / 4
    np.testing.assert_allclose(out.total, expected, rtol=1e-6)
    assert out.count == 1
    assert [float(number) for number in out.metrics["clip/fraction"]] == [0.0, 4.0]


def test_a_step_with_the_added_method(file, command_line, tmp_path):
    overrides = {"method.name": NAME, "method.wrong_temperature": 1.5, "training.steps": 1}
    flags = command_line(tmp_path / "run", overrides)[1:]
    done = subprocess.run(
        [sys.executable, "-c", RUN, file.parent, *flags], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    method = json.loads((tmp_path / "run" / "config.json").read_text())["method"]
    assert (method["name"], method["wrong_temperature"], method["dual_clip"]) == (NAME, 1.5, None)
    assert "papo_jax" not in str(method)  # no file, which may be moved
    (row,) = (
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    )
    assert row["grad_norm"] > 0 and row["update/skipped"] == 0 and np.isfinite(row["loss"])


BOUND = "Objective(functools.partial(sapo_loss, {}), answer_mean)"
PLAIN = "Objective(sapo_loss, answer_mean)"


@pytest.mark.parametrize(
    "number, before, after, said",
    [
        (
            0,
            PLAIN,
            BOUND.format("right_temperatur=2.0"),
            r"sapo_loss\(\) declares no hyperparameter 'right_temperatur'; the nearest is"
            " 'right_temperature'",
        ),
        (
            1,
            PLAIN,
            BOUND.format("right_temperature='3'"),
            r"sapo_loss\(\) is bound to right_temperature = '3'; it must be of type float",
        ),
        (
            2,
            "right_temperature: float = 1.0",
            "right_temperature: float",
            r"sapo_loss\(\) gives 'right_temperature' no default and nothing binds it",
        ),
        (3, f"return Method({PLAIN})", "return None", r"sapo\(\) returns no Method"),
        (4, "import jax.numpy as jnp", "import jax.nmpy as jnp", "No module named 'jax.nmpy'"),
    ],
    ids=["misspelled", "another type", "no default", "no method", "import"],
)
def test_a_faulty_file_is_refused_when_it_is_loaded(
    tmp_path, monkeypatch, number, before, after, said
):
    assert before in CODE
    faulty = CODE.replace(before, after).replace("import jax", "import functools\nimport jax", 1)
    (tmp_path / f"faulty_{number}.py").write_text(faulty)
    monkeypatch.setattr(policy_gradients, "__path__", [*policy_gradients.__path__, str(tmp_path)])
    with pytest.raises(InputError, match=f"faulty_{number} cannot be used: .*{said}") as raised:
        method_files.find_presets()
    assert "\n" not in str(raised.value)


def test_a_number_of_another_type_ends_a_run_in_one_line(tmp_path, command_line):
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(
        CODE.replace("right_temperature: float = 1.0", "tau: int = 1")
    )
    flags = command_line(tmp_path / "run")[1:]
    done = subprocess.run(
        [sys.executable, "-c", RUN, folder, *flags], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"tau of the method '{NAME}' is of type int" in done.stderr
    assert not (tmp_path / "run").exists()
