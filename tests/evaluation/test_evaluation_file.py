"""`evaluation.json`: its schema key for key, its parser, and the file as it grows."""

import json

import pytest

from papo_jax.errors import InputError
from papo_jax.evaluation.evaluation_file import EvaluationFile
from papo_jax.evaluation.figures import Interval, parse_figures
from papo_jax.evaluation.parsing import parse_evaluation
from papo_jax.evaluation.schema import (
    Entry,
    EvalSet,
    Evaluation,
    Graders,
    Sampling,
    Scores,
    SourceScores,
    select_last_and_best,
)
from papo_jax.telemetry import runfiles


def make_entry(step, value, *, errors=0):
    figures = {
        name: Interval(value, value - 0.25, value + 0.25)
        for name in ("avg@2", "pass@1", "pass@2", "maj@2")
    }
    scores = Scores(
        figures=figures,
        right=(1, 2, 0),
        majority=(0.5, 1.0, 0.0),
        errors=errors,
        timeouts=0,
        by_source={"sums": SourceScores(problems=3, figures=figures)},
    )
    return Entry(step=step, model="abc", scores=scores, truncated=0.125, seconds=2.5)


def make_evaluation(**changes):
    fields = {
        "eval_set": EvalSet(
            task="sums", problems=3, fingerprint="f", identifiers=(4, 5, 6), sources={"sums": 3}
        ),
        "sampling": Sampling(samples=2, temperature=1.0, max_new_tokens=8, seed=0),
        "graders": Graders(names=("integer",), versions={"integer": "1"}, deadline=2.0, memory=512),
    }
    return Evaluation(**{**fields, **changes})


def test_the_document_key_for_key():
    found = make_evaluation(
        entries=(make_entry(0, 0.25), make_entry(5, 0.5)),
        paired_difference={"avg@2": Interval(0.25, 0.0, 0.5), "pass@2": Interval(0.0, 0.0, 0.0)},
    ).to_json()
    low, high = ({"value": v, "low": v - 0.25, "high": v + 0.25} for v in (0.25, 0.5))
    document = {
        "panel": {
            "task": "sums",
            "problems": 3,
            "fingerprint": "f",
            "identifiers": [4, 5, 6],
            "sources": {"sums": 3},
        },
        "sampling": {"samples": 2, "temperature": 1.0, "max_new_tokens": 8, "seed": 0},
        "samples": 2,
        "temperature": 1.0,
        "graders": {
            "names": ["integer"],
            "versions": {"integer": "1"},
            "deadline": 2.0,
            "memory": 512,
        },
        "entries": [
            {
                "step": step,
                "model": "abc",
                "avg_at_k": share,
                "pass_at_k": {"1": share, "2": share},
                "maj_at_k": share,
                "right": [1, 2, 0],
                "majority": [0.5, 1.0, 0.0],
                "errors": 0,
                "timeouts": 0,
                "by_source": {
                    "sums": {
                        "problems": 3,
                        "avg_at_k": share,
                        "pass_at_k": {"1": share, "2": share},
                        "maj_at_k": share,
                    }
                },
                "truncated": 0.125,
                "seconds": 2.5,
            }
            for step, share in ((0, low), (5, high))
        ],
        "last": {"step": 5, "avg_at_k": high},
        "best": {"step": 5, "avg_at_k": high},
        "paired_difference": {
            "avg_at_k": {"value": 0.25, "low": 0.0, "high": 0.5},
            "pass_at_k": {"2": {"value": 0.0, "low": 0.0, "high": 0.0}},
        },
    }
    assert json.dumps(found) == json.dumps(document)  # the order of the keys too


def test_a_document_that_was_written_is_read_as_it_was():
    evaluation = make_evaluation(
        entries=(make_entry(0, 0.25), make_entry(5, 0.5)),
        paired_difference={"avg@2": Interval(0.25, 0.0, 0.5)},
    )
    assert parse_evaluation(json.loads(json.dumps(evaluation.to_json()))) == evaluation


def test_what_is_missing_is_empty_and_complained_of():
    found = parse_evaluation({})
    assert found.complaints == (
        "panel has no task and fingerprint",
        "panel.problems is None, not a whole number above 0",
        "samples is None, not a whole number above 0",
        "temperature is None, not a number",
        "it holds no list of entries",
    )
    assert (found.eval_set.problems, found.sampling.samples, found.entries) == (0, 0, ())


def test_bare_figures_take_the_number_of_samples():
    found = parse_figures(
        {"avg_at_k": 0.5, "maj_at_k": {"value": 0.25, "low": 0.2, "high": 0.3}}, 8
    )
    assert found == {"avg@8": Interval(0.5, None, None), "maj@8": Interval(0.25, 0.2, 0.3)}


def test_last_and_best():
    entries = [
        make_entry(step, value) for step, value in ((0, 0.1), (5, 0.4), (10, 0.4), (15, 0.3))
    ]
    # the earlier of two that are equal
    assert select_last_and_best(entries) == (entries[3], entries[1])


def test_what_is_said_of_an_evaluation():
    said = make_entry(0, 0.5, errors=3).format_headline()
    assert said == "avg@2 0.500 [0.250, 0.750], 3 answers could not be judged"
    assert make_entry(0, 0.5).format_headline() == "avg@2 0.500 [0.250, 0.750]"


def test_entries_are_kept_in_order_with_their_verdicts(tmp_path):
    path = tmp_path / "evaluation.json"
    file = EvaluationFile(path, make_evaluation())
    for step in (5, 0, 9):
        file.add_entry(make_entry(step, 0.5), [{"problem": 4}, {"problem": 5}])
    again = EvaluationFile(path, make_evaluation())
    assert [entry.step for entry in again.entries] == [0, 5, 9] and again.entries == file.entries
    assert again.has_step(5) and not again.has_step(6)
    # right samples agree, so the difference of first and last is 0 without width
    assert json.loads(path.read_text())["paired_difference"]["avg_at_k"]["high"] == 0.0
    again.keep_until(5)
    assert [entry["step"] for entry in json.loads(path.read_text())["entries"]] == [0, 5]
    assert [row["step"] for row in runfiles.read_rows(again.samples_path)] == [5, 5, 0, 0]


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"panel": {}}, "an evaluation of another evaluation set; move it away"),
        ({"sampling": {}}, "an evaluation of other sampling settings; move it away"),
        ({"graders": {}}, "an evaluation of other graders; move it away"),
        ({"entries": [{}]}, "has no list of entries with step, avg_at_k and right; move it away"),
        ({"entries": {}}, "has no list of entries with step, avg_at_k and right; move it away"),
    ],
)
def test_a_file_of_something_else_is_not_continued(tmp_path, change, complaint):
    path = tmp_path / "evaluation.json"
    document = make_evaluation(entries=(make_entry(0, 0.5),)).to_json()
    path.write_text(json.dumps({**document, **change}))
    with pytest.raises(InputError, match=complaint):
        EvaluationFile(path, make_evaluation())
