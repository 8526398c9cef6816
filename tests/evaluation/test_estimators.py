"""The panel's figures against brute force and simulation."""

import itertools
import json
import math

import numpy as np
import pytest

from papo_jax.evaluation import estimators
from papo_jax.grading.judgment import Judgment
from papo_jax.tasks.problem import Problem
from tests.support.seeds import make_rng


@pytest.mark.parametrize("n", [1, 2, 5])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        right = [True] * c + [False] * (n - c)
        subsets = list(itertools.combinations(right, k))
        np.testing.assert_allclose(
            estimators.pass_at_k(n, c, k), np.mean([any(subset) for subset in subsets])
        )


def test_pass_at_k_is_unbiased():
    # With p = 0.3: E pass@4 = 1 - 0.7^4 = 0.7599, from counts of 10 draws, where the plug-in 1 - (1
    # - c/n)^4 is biased.
    n, p, k = 10, 0.3, 4
    weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    expected = sum(w * estimators.pass_at_k(n, c, k) for c, w in enumerate(weights))
    np.testing.assert_allclose(expected, 1 - (1 - p) ** k)


@pytest.mark.parametrize("n, c, k", [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_refuses(n, c, k):
    with pytest.raises(ValueError, match=f"n = {n}, c = {c}, k = {k}"):
        estimators.pass_at_k(n, c, k)


def test_pass_at_k_of_many_samples_neither_overflows_nor_dawdles():
    # C(4096, 2048) has 1,233 digits; one right sample in n is among k of them with chance k / n.
    assert estimators.pass_at_k(4096, 1, 2048) == 0.5
    right = make_rng(0).integers(0, 1025, 200)
    found = estimators.figures(right, None, 1024)
    assert list(found)[-3:] == ["pass_at_k/256", "pass_at_k/512", "pass_at_k/1024"]
    np.testing.assert_array_equal(found["pass_at_k/1024"], right > 0)
    np.testing.assert_allclose(found["pass_at_k/1"], found["avg_at_k"])


def judged(text):
    """Judgments from words such as "7", "8!" (wrong), "8?" (timed out) and "" (wrong, without an
    answer)."""
    verdicts = {"!": "wrong", "?": "error"}
    return [
        Judgment(verdicts[word[-1]], word[:-1] or None, "timeout" if word[-1] == "?" else "")
        if word[-1] in verdicts
        else Judgment("right", word)
        for word in text.split()
    ]


@pytest.mark.parametrize(
    "answers, share",
    [
        ("7 7 8!", 1.0),
        ("7 8! 8!", 0.0),
        ("7 8!", 0.5),  # a tie of two
        ("7 8! 9! 9! 7", 0.5),
        ("7 8! 9!", 1 / 3),
        ("7 ! ! !", 1.0),  # no answer is no vote
        ("! ?", 0.0),
        ("7 7? 8!", 0.5),  # a timeout votes, and is not right
        ("7? 7? 8", 0.0),
        ("7 7? 8! 8!", 0.25),  # a tie of 1/2 and 0
        ("7 7 7! 8!", 2 / 3),  # a class whose verdicts differ
    ],
)
def test_majority(answers, share):
    assert estimators.majority(judged(answers)) == pytest.approx(share)
    assert estimators.majority(judged(answers)[::-1]) == pytest.approx(share)


def test_interval_is_deterministic_and_ordered():
    values = make_rng(0).random(50)
    first = estimators.interval(values)
    assert first == estimators.interval(values)
    assert first["low"] < first["value"] < first["high"]
    assert first["value"] == pytest.approx(values.mean())
    for share in (0.25, 1 / 3, 0.1):  # thirds and tenths round
        flat = estimators.interval(np.full(9, share))
        assert flat["low"] <= flat["value"] <= flat["high"]
        np.testing.assert_allclose([*flat.values()], share)


def test_interval_covers_the_truth():
    # Panels of 100 problems whose chance of success is uniform, 8 samples each: the true mean is
    # 0.5.
    rng = make_rng(1)
    covered = 0
    for _ in range(200):
        chance = rng.random(100)
        found = estimators.interval(rng.binomial(8, chance) / 8)
        covered += found["low"] <= 0.5 <= found["high"]
    assert 0.90 <= covered / 200 <= 0.99


def test_resamples_are_of_the_problems_and_shared_by_the_figures():
    # With one problem that differs, a mean is its count of draws / M: binomial, mean 1 and variance
    # 1 - 1/M of the count.
    values = np.zeros((2, 50))
    values[:, 3] = 1.0, -2.0
    draws = estimators.resample(values)
    assert draws.shape == (estimators.RESAMPLES, 2)
    np.testing.assert_array_equal(draws[:, 1], -2 * draws[:, 0])
    counts = 50 * draws[:, 0]
    assert abs(counts.mean() - 1) < 0.1 and abs(counts.var() - 0.98) < 0.15
    np.testing.assert_array_equal(estimators.resample(values[:1]), draws[:, :1])


def test_resampling_in_pieces_is_resampling_at_once(monkeypatch):
    values = make_rng(0).random((3, 20))
    whole = estimators.resample(values)
    monkeypatch.setattr(estimators, "_DRAWN_AT_ONCE", 70)  # 3 resamples at a time, the last piece 2
    np.testing.assert_array_equal(estimators.resample(values), whole)


def test_paired_by_hand():
    # avg@4: (3 - 1, 0 - 0, 4 - 2) / 4 has mean 1/3; pass@4 grows nowhere; maj@4: (1 - 0, 0, 1 -
    # 0.5) has mean 1/2
    first, last = (
        {"right": [1, 0, 2], "majority": [0.0, 0.0, 0.5]},
        {"right": [3, 0, 4], "majority": [1.0, 0.0, 1.0]},
    )
    found = estimators.paired(first, last, 4)
    assert found["avg_at_k"]["value"] == found["pass_at_k"]["1"]["value"] == pytest.approx(1 / 3)
    assert found["pass_at_k"]["4"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["maj_at_k"]["value"] == pytest.approx(0.5)
    # pass@2 of 1, 2, 3, 4 right of 4 is 1/2, 5/6, 1, 1: (1 - 1/2 + 0 + 1 - 5/6) / 3 = 2/9
    assert found["pass_at_k"]["2"]["value"] == pytest.approx(2 / 9)
    # common problems cancel, so equal changes leave no width at all
    same = estimators.paired({"right": [0, 1, 2, 3]}, {"right": [1, 2, 3, 4]}, 4)
    assert same["avg_at_k"] == {"value": 0.25, "low": 0.25, "high": 0.25}
    assert "maj_at_k" not in same  # a file of old


def test_paired_is_narrower_than_the_two_intervals():
    # Hard problems stay hard: what both evaluations share makes their intervals wide and cancels in
    # the difference.
    rng = make_rng(0)
    chance = rng.random(200)
    first, last = (
        {"right": rng.binomial(16, np.minimum(1, chance + gain)).tolist()} for gain in (0.0, 0.05)
    )
    ends = [estimators.interval(np.array(entry["right"]) / 16) for entry in (first, last)]
    paired = estimators.paired(first, last, 16)["avg_at_k"]
    unpaired = np.hypot(*(end["high"] - end["low"] for end in ends))
    assert paired["high"] - paired["low"] < 0.5 * unpaired
    assert paired["low"] < ends[1]["value"] - ends[0]["value"] < paired["high"]


def test_paired_refuses_panels_of_two_sizes():
    with pytest.raises(ValueError, match="of 1 and of 2 problems"):
        estimators.paired({"right": [1]}, {"right": [1, 2]}, 4)


def test_summary_by_hand():
    found = estimators.summarize(
        [judged("1 2! 2!"), judged("5 5 5"), judged("? 3! 4?")], ["one"] * 3
    )
    assert found["right"] == [1, 3, 0]
    assert found["majority"] == [0.0, 1.0, 0.0]
    assert (found["errors"], found["timeouts"]) == (2, 2)
    assert found["avg_at_k"]["value"] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert list(found["pass_at_k"]) == ["1", "2", "3"]
    assert found["pass_at_k"]["1"]["value"] == pytest.approx(found["avg_at_k"]["value"])
    assert found["pass_at_k"]["2"]["value"] == pytest.approx(
        (2 / 3 + 1 + 0) / 3
    )  # 1 - C(2, 2) / C(3, 2) = 2/3
    assert found["pass_at_k"]["3"]["value"] == pytest.approx(2 / 3)
    assert found["maj_at_k"]["value"] == pytest.approx(1 / 3)
    assert "by_source" not in found
    json.dumps(found, allow_nan=False)  # plain numbers


def test_an_error_is_counted_and_told_from_a_timeout():
    crash = Judgment("error", None, "worker died")
    found = estimators.summarize([[crash, *judged("7?")], judged("7 7")], ["", ""])
    assert (found["errors"], found["timeouts"], found["right"]) == (2, 1, [0, 2])


def test_summary_by_source():
    found = estimators.summarize([judged("1 1"), judged("2! 3"), judged("4! 5!")], ["a", "b", "a"])
    assert list(found["by_source"]) == ["a", "b"]
    a, b = found["by_source"].values()
    assert (a["problems"], a["avg_at_k"]["value"], a["pass_at_k"]["2"]["value"]) == (2, 0.5, 0.5)
    assert (
        b["problems"],
        b["avg_at_k"]["value"],
        b["pass_at_k"]["2"]["value"],
        b["maj_at_k"]["value"],
    ) == (1, 0.5, 1.0, 0.5)
    assert found["avg_at_k"]["value"] == 0.5


@pytest.mark.parametrize(
    "judgments, sources",
    [([], []), ([[]], ["a"]), ([judged("1"), judged("1 2")], ["a", "a"]), ([judged("1")], [])],
)
def test_summary_refuses(judgments, sources):
    with pytest.raises(ValueError, match="all need K samples and a source"):
        estimators.summarize(judgments, sources)


def test_last_and_best():
    entries = [
        {"step": step, "avg_at_k": {"value": value}}
        for step, value in ((0, 0.1), (5, 0.4), (10, 0.4), (15, 0.3))
    ]
    found = estimators.last_and_best(entries)
    assert found == {"last": entries[3], "best": entries[1]}  # the earlier of two that are equal


def test_fingerprint_tells_panels_apart():
    one, two = Problem(0, "1+1=", "2"), Problem(1, "1+2=", "3")
    changed = [two._replace(**{field: "x"}) for field in Problem._fields]
    panels = [[one, two], [two, one], [one], *([one, other] for other in changed)]
    assert len({estimators.panel_fingerprint(panel) for panel in panels}) == 8
    assert estimators.panel_fingerprint([one, two]) == estimators.panel_fingerprint((one, two))
