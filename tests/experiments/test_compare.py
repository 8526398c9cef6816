"""Comparison of runs: figures by hand, pairing, means over seeds, refusals, hostile files."""

import csv

import numpy as np
import pytest

from experiments import compare, paired_estimates
from experiments.comparison_text import format_cell
from papo_jax.evaluation import bootstrap, estimators
from papo_jax.evaluation.figures import Interval
from papo_jax.evaluation.schema import Scores
from papo_jax.telemetry import runfiles
from tests.support.seeds import make_rng

SAMPLES = 4


def make_entry(step, right, votes=None, **more):
    votes = [float(2 * count > SAMPLES) for count in right] if votes is None else votes
    return {"step": step, "right": right, "majority": votes, "errors": 0, "timeouts": 0, **more}


def write_run(workdir, entries, /, *, method="grpo", seed=0, config=None, **changed):
    """Writes a run's evaluation and config, and returns its directory."""
    document = {
        "panel": {"task": "sums", "problems": len(entries[0]["right"]), "fingerprint": "f" * 64},
        "sampling": {"samples": SAMPLES, "temperature": 1.0, "max_new_tokens": 24, "seed": seed},
        "samples": SAMPLES,
        "temperature": 1.0,
        "graders": {"names": ["integer"], "versions": {"integer": "1"}},
        "entries": entries,
    }
    workdir.mkdir(parents=True, exist_ok=True)
    runfiles.write_json(workdir / "evaluation.json", {**document, **changed})
    config = {"seed": seed, "method": {"name": method}, "model": {"path": "tiny"}, **(config or {})}
    runfiles.write_json(workdir / "config.json", config)
    return workdir


def find_cells(text, start):
    """The cells of the first line that starts with a label, taken apart at two blanks."""
    found = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in found.split("  ") if cell.strip()]


def test_two_runs_by_hand(tmp_path):
    # avg@4: 2/4 and 3/4 for all problems; pass@4: 100 % both; maj@4: a tie of 0 votes, then all
    one = write_run(tmp_path / "one", [make_entry(0, [0] * 9), make_entry(5, [2] * 9)])
    two = write_run(tmp_path / "two", [make_entry(5, [3] * 9)], method="papo", seed=7)
    text, records = compare.compare_runs([one, two])
    assert text.startswith(
        "sums, 9 problems (fingerprint ffffffffffff), 4 samples each at temperature 1, model tiny\n"
    )
    header = "run|method|seed|step|avg@4, %|pass@4, %|maj@4, %"
    assert find_cells(text, "run") == header.split("|")
    cells = "one|grpo|0|5|50.0 [ 50.0,|50.0]|100.0 [100.0, 100.0]|0.0 [|0.0,|0.0]"
    assert find_cells(text, "one") == cells.split("|")
    assert find_cells(text, "two")[:5] == ["two", "papo", "7", "5", "75.0 [ 75.0,"]
    assert "+25.0 [+25.0, +25.0]*" in text and "+100.0 [+100.0, +100.0]*" in text
    assert "+0.0 [ +0.0,  +0.0]  " in text  # no star
    assert "not over seeds" in text and "With 9 problems" in text
    change = records[3]
    assert (change["run"], change["figure"], change["difference_to"], change["difference"]) == (
        "two",
        "avg@4",
        "one",
        0.25,
    )


def test_the_difference_is_the_paired_one_of_the_evaluation(tmp_path):
    rng = make_rng(0)
    chance = rng.random(60)
    runs = [make_entry(0, rng.binomial(SAMPLES, chance).tolist()) for _ in range(2)]
    _, records = compare.compare_runs(
        [write_run(tmp_path / name, [run]) for name, run in zip("ab", runs, strict=True)]
    )
    first, last = (
        Scores(figures={}, right=tuple(run["right"]), majority=tuple(run["majority"]))
        for run in runs
    )
    expected = estimators.paired_difference(first, last, SAMPLES)
    for record, figure in zip(records[3:6], ("avg@4", "pass@4", "maj@4"), strict=True):
        found = [record[name] for name in ("difference", "difference_low", "difference_high")]
        np.testing.assert_allclose(found, expected[figure])


def test_a_single_run_is_compared_with_its_first_step(tmp_path):
    run = write_run(
        tmp_path / "one",
        [make_entry(10, [1, 2, 2]), make_entry(0, [1, 1, 1]), make_entry(5, [4, 4, 4])],
    )
    text, _ = compare.compare_runs([run])
    rows = [
        row for row in text.splitlines() if row.startswith(("first", "best ", "last", "  less"))
    ]
    assert [(row.split()[0], row.split()[3]) for row in rows if "less" not in row] == [
        ("first", "0"),
        ("best", "5"),
        ("last", "10"),
    ]
    assert sum("less first" in row for row in rows) == 2
    assert "chosen by avg@k on this very evaluation set, hence optimistic" in text
    text, _ = compare.compare_runs([run], "10")
    assert find_cells(text, "10")[3] == "10" and "optimistic" not in text
    alone, _ = compare.compare_runs([write_run(tmp_path / "two", [make_entry(0, [1, 1, 1])])])
    assert alone.count("\nfirst, best, last") == 1


def test_steps_are_chosen(tmp_path):
    runs = [
        write_run(tmp_path / name, [make_entry(0, [1]), make_entry(5, [high]), make_entry(9, [3])])
        for name, high in (("a", 4), ("b", 3))
    ]
    for step, steps in (
        ("best", ["5", "5"]),
        ("last", ["9", "9"]),
        ("5", ["5", "5"]),
        (None, ["9", "9"]),
    ):
        text, records = compare.compare_runs(runs, step)
        assert [record["step"] for record in records[::3]] == steps
        assert ("optimistic" in text) == (step == "best")


def test_seeds_are_averaged_where_nothing_else_differs(tmp_path):
    runs = []
    for method, rights in (("grpo", (1, 3)), ("papo", (2, 4))):
        for seed, right in enumerate(rights):
            config = {"mesh": {"data": seed}}  # which changes nothing
            runs.append(
                write_run(
                    tmp_path / f"{method}-{seed}",
                    [make_entry(5, [right] * 9)],
                    method=method,
                    seed=seed,
                    config=config,
                )
            )
    odd = write_run(
        tmp_path / "odd", [make_entry(5, [4] * 9)], seed=2, config={"training": {"steps": 7}}
    )
    copy = write_run(
        tmp_path / "copy", [make_entry(5, [4] * 9)], seed=2, config={"training": {"steps": 7}}
    )
    _, records = compare.compare_runs([*runs, odd])
    means = [
        record
        for record in records
        if record["run"].startswith("mean of") and record["figure"] == "avg@4"
    ]
    said = [(mean["run"], mean["value"], mean["seed"]) for mean in means]
    assert said == [("mean of grpo-0, grpo-1", 0.5, "x2"), ("mean of papo-0, papo-1", 0.75, "x2")]
    # problems agree, so the width is of the seeds: their deviation 1/4, of the mean 1/4 sqrt(2)
    # times -1, 0 or 1
    spread = 0.25 * np.sqrt(2)
    np.testing.assert_allclose([means[0]["low"], means[0]["high"]], [0.5 - spread, 0.5 + spread])
    assert (
        means[1]["difference"] == 0.25
        and means[1]["difference_low"] < 0 < means[1]["difference_high"]
    )
    _, records = compare.compare_runs([runs[0], odd, copy])  # one seed twice is no second seed
    assert not any(record["run"].startswith("mean of") for record in records)


def test_a_mean_over_seeds_spreads_as_seeds_and_problems_do():
    # Crossed normal effects of 20 seeds and 50 problems, no noise: the variance of the mean is 0.04
    # / 20 + 0.09 / 50.
    class Run:
        config = {}

    widths, rng = [], make_rng(0)
    for _ in range(10):
        values = rng.normal(0, 0.2, (20, 1)) + rng.normal(0, 0.3, 50)
        resamples = bootstrap.bootstrap_means(values)
        rows = [
            paired_estimates.Row(
                label="",
                method="",
                seed="",
                step="0",
                estimates={"avg@1": paired_estimates.Estimate(row.mean(), means)},
                recorded={},
            )
            for row, means in zip(values, resamples.T, strict=True)
        ]
        runs = [Run() for _ in rows]
        for seed, run in enumerate(runs):
            run.seed = seed
        found = paired_estimates.average_over_seeds(runs, rows)[0].find_interval("avg@1")
        widths.append(found.high - found.low)
    np.testing.assert_allclose(np.mean(widths), 2 * 1.96 * np.sqrt(0.04 / 20 + 0.09 / 50), rtol=0.1)


def test_sources_and_what_differs_are_shown(tmp_path):
    part = {
        "problems": 2,
        "avg_at_k": {"value": 0.25, "low": 0.2, "high": 0.3},
        "pass_at_k": {"4": 0.5},
        "maj_at_k": "x",
    }
    one = write_run(
        tmp_path / "one", [make_entry(0, [1, 2], by_source={"gsm8k": part, "odd": 3}, errors=3)]
    )
    two = write_run(
        tmp_path / "two",
        [make_entry(0, [2, 2])],
        graders={"versions": {"integer": "2"}},
        sampling={"max_new_tokens": 48},
    )
    text, records = compare.compare_runs([one, two])
    assert find_cells(text, "run  source")[:3] == ["run", "source", "problems"]
    row = next(line for line in text.splitlines() if "gsm8k" in line)
    assert row.split() == ["one", "gsm8k", "2", "25.0", "[", "20.0,", "30.0]", "50.0", "-"]
    assert "Answers of 8 without a verdict, which count as not right: one 3." in text
    assert (
        "Token limits differ: one: 24; two: 48." in text
        and "Graders differ: one: integer 1; two: integer 2." in text
    )
    assert [record["figure"] for record in records if record.get("source") == "gsm8k"] == [
        "avg@4",
        "pass@4",
    ]


def test_a_file_of_old_goes_as_far_as_it_can(tmp_path):
    old = {"step": 0, "right": [1, 2], "maj_at_k": {"value": 0.5, "low": 0.0, "high": 1.0}}
    one = write_run(tmp_path / "one", [old], sampling=None, graders=None, grader="integer")
    two = write_run(tmp_path / "two", [make_entry(0, [2, 2])], config={"seed": None})
    (two / "config.json").unlink()
    text, records = compare.compare_runs([one, two])
    assert (
        records[2]["value"] == 0.5
        and "difference" not in records[5]
        and records[3]["difference"] == 0.125
    )
    assert "maj@k has no difference: one." in text and "Models differ: one: tiny; two: -." in text
    assert find_cells(text, "two")[:4] == ["two", "-", "-", "0"]


def test_long_names_have_a_line_of_their_own_and_nothing_is_wider_than_the_page(tmp_path):
    runs = [
        write_run(
            tmp_path / "sweep" / f"a-long-name-for-a-run-{n}", [make_entry(1000, [n] * 40)], seed=n
        )
        for n in range(4)
    ]
    text, _ = compare.compare_runs(
        [*runs, write_run(tmp_path / "other", [make_entry(1000, [4] * 40)], method="papo")]
    )
    assert "\nsweep/a-long-name-for-a-run-0\n" in text
    assert "\nmean of sweep/a-long-name-for-a-run-0, ..., sweep/a-long-name-for-a-run-3\n" in text
    assert max(map(len, text.splitlines())) <= 120


BROKEN = {
    "not valid JSON": "{",
    "must hold a JSON object": "[]",
    "panel has no task and fingerprint": {"panel": [1]},
    "panel.problems is 0": {"panel": {"task": "t", "fingerprint": "f", "problems": 0}},
    "samples is 1000000000": {"samples": 10**9},
    "samples is True": {"samples": True},
    "temperature is None": {"temperature": float("nan")},
    "it holds no evaluation": {"entries": []},
    "step of entry 0 is None": {"entries": ["x"]},
    "step of entry 0 is -1": {"entries": [{**make_entry(0, [1, 2]), "step": -1}]},
    "two of its evaluations have one step": {"entries": [make_entry(0, [1, 2])] * 2},
    "`right` of entry 0 is no list of 2 counts from 0 to 4": {"entries": [make_entry(0, [1, 5])]},
    "`right` of entry 1 is no list": {
        "entries": [make_entry(0, [1, 2]), {"step": 1, "right": "12"}]
    },
    "`majority` of entry 0 is no list of 2 shares": {
        "entries": [make_entry(0, [1, 2], [0.5, 1.5])]
    },
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_ill_formed_files_are_refused_in_one_line(tmp_path, capsys, complaint):
    content = BROKEN[complaint]
    good, bad = (
        write_run(tmp_path / "good", [make_entry(0, [1, 2])]),
        write_run(tmp_path / "bad", [make_entry(0, [1, 2])]),
    )
    if isinstance(content, str):
        (bad / "evaluation.json").write_text(content)
    else:
        write_run(bad, [make_entry(0, [1, 2])], **content)
    assert compare.main([str(good), str(bad)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert str(bad / "evaluation.json") in said.err and complaint in said.err


@pytest.mark.parametrize(
    "change, complaint",
    [
        (
            {
                "panel": {"task": "products", "problems": 2, "fingerprint": "f" * 63 + "0"}
            },  # to the last character
            "different evaluation sets: good on 2 problems of sums (ffffffffffff),"
            " bad on 2 problems of products",
        ),
        ({"samples": 5}, "different samples: good has 4, bad has 5"),
        ({"temperature": 0.6}, "different temperature: good has 1, bad has 0.6"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, capsys, change, complaint):
    good, bad = (
        write_run(tmp_path / "good", [make_entry(0, [1, 2])]),
        write_run(tmp_path / "bad", [make_entry(0, [1, 2])], **change),
    )
    assert compare.main([str(good), str(bad)]) == 2
    assert complaint in capsys.readouterr().err


def test_other_refusals(tmp_path, capsys):
    run = write_run(tmp_path / "run", [make_entry(0, [1, 2]), make_entry(5, [1, 2])])
    (tmp_path / "link").symlink_to(run)
    for arguments, complaint in (
        ([run, tmp_path], "has no evaluation.json"),
        ([run, tmp_path / "nowhere"], "has no evaluation.json"),
        ([run, run / "config.json"], "cannot be read: Not a directory"),
        ([run, tmp_path / "link"], "are one run"),
        ([run, "--step=7"], "run was evaluated at step 0, 5; take one of those, last or best"),
        (
            [run, f"--csv={tmp_path}/nowhere/file.csv"],
            "nowhere/file.csv: No such file or directory",
        ),
    ):
        assert compare.main([str(argument) for argument in arguments]) == 2
        assert complaint in capsys.readouterr().err
    (run / "config.json").write_text("{")
    assert compare.main([str(run)]) == 2
    assert "config.json is not valid JSON" in capsys.readouterr().err


def test_text_of_a_file_commands_no_terminal(tmp_path):
    hostile = "\x1b[2J\r\n\u202e" + "x" * 1000
    part = {"problems": 2, "avg_at_k": 0.5}
    entries = [make_entry(0, [1, 2], by_source={hostile: part})]
    about = {"task": hostile, "problems": 2, "fingerprint": hostile}
    config = {"method": {"name": hostile}, "model": {"path": hostile}}
    one, two = (
        write_run(
            tmp_path / name,
            entries,
            panel=about,
            config=config,
            graders={"versions": {hostile: name}},
        )
        for name in "ab"
    )
    text, _ = compare.compare_runs([one, two])
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "x" * 61 not in text


def test_the_csv_file_holds_shares(tmp_path, capsys):
    runs = [
        write_run(tmp_path / name, [make_entry(5, [right, 2])], seed=right)
        for name, right in (("a", 1), ("b", 3))
    ]
    assert compare.main([*map(str, runs), f"--csv={tmp_path / 'out.csv'}"]) == 0
    assert "less a" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out.csv").open(newline="")))
    assert [(row["run"], row["figure"]) for row in rows[:4]] == [
        ("a", "avg@4"),
        ("a", "pass@4"),
        ("a", "maj@4"),
        ("b", "avg@4"),
    ]
    assert (rows[0]["value"], rows[0]["difference"], rows[3]["value"], rows[3]["difference"]) == (
        "0.375",
        "",
        "0.625",
        "0.25",
    )
    assert [row["run"] for row in rows[6:]] == ["mean of a, b"] * 3


def test_a_star_says_that_zero_is_outside():
    assert format_cell(Interval(0.1, 0.01, 0.2), "+") == "+10.0 [ +1.0, +20.0]*"
    assert format_cell(Interval(-0.1, -0.2, 0.0), "+") == "-10.0 [-20.0,  +0.0]"
    assert format_cell(Interval(0.1, 0.01, 0.2)) == " 10.0 [  1.0,  20.0]"
    assert format_cell(Interval(-0.0004, -0.2, 0.2), "+").startswith(" +0.0")
    assert (format_cell(None), format_cell(Interval(0.5, None, None))) == ("    -", " 50.0")
