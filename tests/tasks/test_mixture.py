"""Mixtures: names, paths, joined splits, evaluation sets, and the part that an error names."""

import json
import os

import pytest

from papo_jax.errors import InputError
from papo_jax.tasks import Part, Problem, choose_eval_set, load, mixture
from papo_jax.tasks.mixture import JoinedSplit, PartRequest
from papo_jax.tasks.order import draw_identifiers

SMALL = {"train_size": 40, "held_out_size": 12}


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_gsm8k(place):
    rows = [{"question": f"How many are {n} eggs?", "answer": f"#### {n}"} for n in range(30)]
    write_rows(place / "train.jsonl", rows[:20])
    write_rows(place / "test.jsonl", rows[20:])
    return place


def write_math_500(place):
    return write_rows(
        place,
        [{"problem": f"Half of {n} eggs?", "answer": f"\\frac{{{n}}}{{2}}"} for n in range(5)],
    )


def test_names_and_weights():
    assert mixture.parse_mixture("gsm8k*3+math*0.5 + arithmetic", None) == [
        PartRequest("gsm8k", 3.0, None),
        PartRequest("math", 0.5, None),
        PartRequest("arithmetic", 1.0, None),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a*0+b", "the weight of the part 'a' should be a positive number, not '0'"),
        ("a+b*", "part 'b' .* not ''"),
        ("a+b*-1", "part 'b' .* not '-1'"),
        ("a+b*inf", "part 'b' .* not 'inf'"),
        ("a+b*nan", "part 'b' .* not 'nan'"),
        ("a*2*3", "part 'a' .* not '2.3'"),
        ("a+b+a*2", "names the part 'a' twice"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(InputError, match=message):
        mixture.parse_mixture(name, None)


def test_paths():
    def parse_paths(name, path):
        return [part.path for part in mixture.parse_mixture(name, path, ("gsm8k", "math"))]

    assert parse_paths("gsm8k", f"a{os.pathsep}b") == [
        f"a{os.pathsep}b"
    ]  # one part: the path is the path
    assert parse_paths("gsm8k+arithmetic+math", f"a{os.pathsep}{os.pathsep}b") == ["a", None, "b"]
    assert parse_paths("arithmetic+gsm8k", "a") == [None, "a"]
    assert parse_paths("arithmetic+gsm8k", None) == [None, None]
    with pytest.raises(InputError, match="1 entries for the 2 parts gsm8k, math; give one a part"):
        parse_paths("gsm8k+math", "a")


def test_joined_splits_are_a_sequence():
    splits = [
        [Problem(i, f"{name}{i}", "1", source=name) for i in range(size)]
        for name, size in (("a", 3), ("b", 0), ("c", 2))
    ]
    joined = JoinedSplit(splits)
    assert [problem.prompt for problem in joined] == ["a0", "a1", "a2", "c0", "c1"]
    assert (
        [problem.identifier for problem in joined]
        == [joined[i].identifier for i in range(5)]
        == list(range(5))
    )
    assert joined[-1] == joined[4] == joined[3:][1]
    assert joined[1:4] == tuple(joined)[1:4]
    with pytest.raises(IndexError):
        joined[5]


def load_mixed(tmp_path, name="gsm8k*2+math_500+arithmetic", **options):
    path = os.pathsep.join(
        (str(write_gsm8k(tmp_path / "g")), str(write_math_500(tmp_path / "m.jsonl")), "")
    )
    return load(name, path=path, cache=tmp_path / "cache", **{**SMALL, **options})


def test_a_mixture(tmp_path):
    task = load_mixed(tmp_path)
    assert [part[:4] for part in task.parts] == [
        ("gsm8k", 0.5, 20, 10),
        ("math_500", 0.25, 0, 5),
        ("arithmetic", 0.25, 40, 12),
    ]
    assert (len(task.train), len(task.held_out)) == (60, 27)
    assert [problem.source for problem in task.train] == ["gsm8k"] * 20 + ["arithmetic"] * 40
    assert [problem.identifier for problem in task.held_out] == list(range(27))
    assert [problem.grader for problem in task.held_out] == ["integer"] * 10 + ["math"] * 5 + [
        "integer"
    ] * 12
    assert max(draw_identifiers(0, 0, 500, task.parts)) < 60


def test_the_fingerprint_follows_parts_and_weights(tmp_path):
    names = (
        "gsm8k*2+math_500+arithmetic",
        "gsm8k*4+math_500*2+arithmetic*2",
        "gsm8k+math_500+arithmetic",
    )
    first, same, other = (load_mixed(tmp_path, name).fingerprint for name in names)
    assert first == same != other
    assert load_mixed(tmp_path, seed=1).fingerprint != first


def test_eval_sets_share_by_weight(tmp_path):
    task = load_mixed(tmp_path)
    # 8: exactly 4, 2 and 2. 7: 3.5, 1.75 and 1.75, and the largest remainders are 0.75. 24: 12, 6
    # and 6, of which gsm8k has 10 and math_500 has 5, so arithmetic gives the other 9.
    for count, shares in (
        (8, (4, 2, 2)),
        (7, (3, 2, 2)),
        (24, (10, 5, 9)),
        (27, (10, 5, 12)),
        (0, (0, 0, 0)),
    ):
        chosen = choose_eval_set(task, count)
        assert chosen == [
            *task.held_out[: shares[0]],
            *task.held_out[10 : 10 + shares[1]],
            *task.held_out[15 : 15 + shares[2]],
        ]
    with pytest.raises(
        InputError, match="evaluation.problems = 28 is more than the 27 held-out problems"
    ):
        choose_eval_set(task, 28)


def test_errors_name_the_part(tmp_path):
    with pytest.raises(
        InputError, match="part 'math' of task 'arithmetic.math': .*nowhere does not exist"
    ) as caught:
        load("arithmetic+math", path="/nowhere", cache=tmp_path, **SMALL)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="part 'gsm8' of task .*the nearest is 'gsm8k'"):
        load("arithmetic+gsm8", cache=tmp_path, **SMALL)
    with pytest.raises(
        InputError,
        match="part 'arithmetic' of task .* less than once in 1,024 draws; raise its weight",
    ):
        load(
            "gsm8k*3000+arithmetic", path=str(write_gsm8k(tmp_path / "g")), cache=tmp_path, **SMALL
        )


def test_parts_that_overlap_are_refused(tmp_path):
    own = write_rows(
        tmp_path / "own.jsonl",
        [{"prompt": f"Q: how many are {n} eggs? A:", "answer": n} for n in range(30)],
    )
    with pytest.raises(
        InputError, match="also evaluated on: .*; the first is 'How many are 2. eggs.*train jsonl"
    ):
        load(
            "jsonl+gsm8k",
            path=f"{own}{os.pathsep}{write_gsm8k(tmp_path / 'g')}",
            cache=tmp_path / "cache",
        )


def test_shares_of_a_part_without_problems():
    parts = [
        Part("a", 0.9, train_size=0, held_out_size=5),
        Part("b", 0.05, train_size=3, held_out_size=5),
        Part("c", 0.05, train_size=3, held_out_size=5),
    ]
    # The other two share alike.
    assert sorted(draw_identifiers(0, 0, 1024, parts) < 3).count(True) == 512
