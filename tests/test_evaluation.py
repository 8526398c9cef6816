"""The panel's figures against brute force and simulation."""

import itertools
import math

import numpy as np
import pytest

from papo_jax import evaluation
from papo_jax.tasks.problem import Problem


@pytest.mark.parametrize("n", [1, 2, 5])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        right = [True] * c + [False] * (n - c)
        subsets = list(itertools.combinations(right, k))
        np.testing.assert_allclose(evaluation.pass_at_k(n, c, k), np.mean([any(subset) for subset in subsets]))


def test_pass_at_k_is_unbiased():
    # With p = 0.3: E pass@4 = 1 - 0.7^4 = 0.7599, from counts of 10 draws, where the plug-in 1 - (1 - c/n)^4 is biased.
    n, p, k = 10, 0.3, 4
    weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    expected = sum(w * evaluation.pass_at_k(n, c, k) for c, w in enumerate(weights))
    np.testing.assert_allclose(expected, 1 - (1 - p) ** k)


@pytest.mark.parametrize("n, c, k", [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_refuses(n, c, k):
    with pytest.raises(ValueError, match=f"n = {n}, c = {c}, k = {k}"):
        evaluation.pass_at_k(n, c, k)


@pytest.mark.parametrize(
    "answers, right, share",
    [
        (["7", "7", "8"], [True, True, False], 1.0),
        (["7", "8", "8"], [True, False, False], 0.0),
        (["7", "8"], [True, False], 0.5),  # a tie of two
        (["7", "8", "9", "9", "7"], [True, False, False, False, True], 0.5),
        (["7", "8", "9"], [True, False, False], 1 / 3),
        (["7", None, None, None], [True, False, False, False], 1.0),  # no answer is no vote
        ([None, None], [False, False], 0.0),
    ],
)
def test_majority(answers, right, share):
    assert evaluation.majority(answers, right) == pytest.approx(share)


def test_interval_is_deterministic_and_ordered():
    values = np.random.default_rng(0).random(50)
    first = evaluation.interval(values)
    assert first == evaluation.interval(values)
    assert first["low"] < first["value"] < first["high"]
    assert first["value"] == pytest.approx(values.mean())
    flat = evaluation.interval(np.full(9, 0.25))
    assert (flat["low"], flat["value"], flat["high"]) == (0.25, 0.25, 0.25)


def test_interval_covers_the_truth():
    # Panels of 100 problems whose chance of success is uniform, 8 samples each: the true mean is 0.5.
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        chance = rng.random(100)
        found = evaluation.interval(rng.binomial(8, chance) / 8)
        covered += found["low"] <= 0.5 <= found["high"]
    assert 0.90 <= covered / 200 <= 0.99


def test_paired_difference():
    # (3 - 1, 0 - 0, 4 - 2) / 4 has mean 1/3; common problems cancel, so equal changes leave no interval at all.
    assert evaluation.paired_difference([1, 0, 2], [3, 0, 4], 4)["value"] == pytest.approx(1 / 3)
    same = evaluation.paired_difference([0, 1, 2, 3], [1, 2, 3, 4], 4)
    assert (same["low"], same["value"], same["high"]) == (0.25, 0.25, 0.25)


def test_summary_by_hand():
    right = np.array([[True, False, False], [True, True, True], [False, False, False]])
    answers = [["1", "2", "2"], ["5", "5", "5"], [None, "3", "4"]]
    found = evaluation.summarise(right, answers)
    assert found["right"] == [1, 3, 0]
    assert found["avg_at_k"]["value"] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert list(found["pass_at_k"]) == ["1", "2", "3"]
    assert found["pass_at_k"]["1"]["value"] == pytest.approx(found["avg_at_k"]["value"])
    assert found["pass_at_k"]["2"]["value"] == pytest.approx((2 / 3 + 1 + 0) / 3)  # 1 - C(2, 2) / C(3, 2) = 2/3
    assert found["pass_at_k"]["3"]["value"] == pytest.approx(2 / 3)
    assert found["maj_at_k"]["value"] == pytest.approx(1 / 3)


def test_fingerprint_tells_panels_apart():
    one, two = Problem(0, "1+1=", "2"), Problem(1, "1+2=", "3")
    prints = [evaluation.panel_fingerprint(panel) for panel in ([one, two], [two, one], [one], [one, two._replace(answer="4")])]
    assert len(set(prints)) == 4
    assert evaluation.panel_fingerprint([one, two]) == prints[0]
