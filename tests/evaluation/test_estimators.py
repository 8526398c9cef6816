"""Estimators of an evaluation against brute force, simulation and arithmetic by hand."""

import itertools
import json
import math

import numpy as np
import pytest

from papo_jax.evaluation import bootstrap, estimators
from papo_jax.evaluation.eval_set import eval_set_fingerprint
from papo_jax.evaluation.schema import Scores
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
    found = estimators.per_problem_figures(right, None, 1024)
    assert list(found)[-3:] == ["pass@256", "pass@512", "pass@1024"]
    np.testing.assert_array_equal(found["pass@1024"], right > 0)
    np.testing.assert_allclose(found["pass@1"], found["avg@1024"])


def judge_words(text):
    """Makes judgments of words: "7" is right, "8!" wrong, "8?" timed out, "!" has no answer."""
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
        ("7 7m 8! 8!", 0.5),  # right answers are equal, however they are written
        ("7 7m 7% 8! 8!", 1.0),
        ("7 7m 7m? 8!", 2 / 3),
        ("7! 7m! 8! 8! 9", 0.0),  # wrong ones are not
    ],
)
def test_maj_at_k(answers, share):
    assert estimators.maj_at_k(judge_words(answers)) == pytest.approx(share)
    assert estimators.maj_at_k(judge_words(answers)[::-1]) == pytest.approx(share)


def test_interval_is_deterministic_and_ordered():
    values = make_rng(0).random(50)
    first = bootstrap.bootstrap_interval(values)
    assert first == bootstrap.bootstrap_interval(values)
    assert first.low < first.value < first.high
    assert first.value == pytest.approx(values.mean())
    for share in (0.25, 1 / 3, 0.1):  # thirds and tenths round
        flat = bootstrap.bootstrap_interval(np.full(9, share))
        assert flat.low <= flat.value <= flat.high
        np.testing.assert_allclose([*flat], share)


def test_interval_covers_the_truth():
    # Evaluation sets of 100 problems whose chance of success is uniform, 8 samples each: the true
    # mean is 0.5, and the variance of a problem's share is 1/12 + (1/6) / 8.
    rng = make_rng(1)
    covered, widths = 0, []
    for _ in range(200):
        chance = rng.random(100)
        found = bootstrap.bootstrap_interval(rng.binomial(8, chance) / 8)
        covered += found.low <= 0.5 <= found.high
        widths.append(found.high - found.low)
    assert covered / 200 >= 0.95 - 5 * np.sqrt(0.95 * 0.05 / 200)  # five deviations
    deviation = np.sqrt((1 / 12 + 1 / 48) / 100)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * deviation, rel=0.05)


def test_resamples_are_of_the_problems_and_shared_by_the_figures():
    # With one problem that differs, a mean is its count of draws / M: binomial, mean 1 and variance
    # 1 - 1/M of the count.
    values = np.zeros((2, 50))
    values[:, 3] = 1.0, -2.0
    draws = bootstrap.bootstrap_means(values)
    assert draws.shape == (bootstrap.RESAMPLES, 2)
    np.testing.assert_array_equal(draws[:, 1], -2 * draws[:, 0])
    counts = 50 * draws[:, 0]
    assert abs(counts.mean() - 1) < 0.1 and abs(counts.var() - 0.98) < 0.15
    np.testing.assert_array_equal(bootstrap.bootstrap_means(values[:1]), draws[:, :1])


def test_resampling_in_pieces_is_resampling_at_once(monkeypatch):
    values = make_rng(0).random((3, 20))
    whole = bootstrap.bootstrap_means(values)
    monkeypatch.setattr(bootstrap, "_INDICES_AT_ONCE", 70)  # 3 resamples at a time, the last 2
    np.testing.assert_array_equal(bootstrap.bootstrap_means(values), whole)


def make_scores(right, majority=None):
    return Scores(figures={}, right=tuple(right), majority=majority)


def test_paired_by_hand():
    # avg@4: (3 - 1, 0 - 0, 4 - 2) / 4 has mean 1/3; pass@4 grows nowhere; maj@4: (1 - 0, 0, 1 -
    # 0.5) has mean 1/2
    first = make_scores([1, 0, 2], [0.0, 0.0, 0.5])
    last = make_scores([3, 0, 4], [1.0, 0.0, 1.0])
    found = estimators.paired_difference(first, last, 4)
    assert found["avg@4"].value == found["pass@1"].value == pytest.approx(1 / 3)
    assert found["pass@4"] == (0.0, 0.0, 0.0)
    assert found["maj@4"].value == pytest.approx(0.5)
    # pass@2 of 1, 2, 3, 4 right of 4 is 1/2, 5/6, 1, 1: (1 - 1/2 + 0 + 1 - 5/6) / 3 = 2/9
    assert found["pass@2"].value == pytest.approx(2 / 9)
    # common problems cancel, so equal changes leave no width at all
    same = estimators.paired_difference(make_scores([0, 1, 2, 3]), make_scores([1, 2, 3, 4]), 4)
    assert same["avg@4"] == (0.25, 0.25, 0.25)
    assert "maj@4" not in same  # a file without votes


def test_paired_is_narrower_than_the_two_intervals():
    # Hard problems stay hard: what both evaluations share makes their intervals wide and cancels in
    # the difference.
    rng = make_rng(0)
    chance = rng.random(200)
    first, last = (
        make_scores(rng.binomial(16, np.minimum(1, chance + gain)).tolist()) for gain in (0.0, 0.05)
    )
    ends = [bootstrap.bootstrap_interval(np.array(scores.right) / 16) for scores in (first, last)]
    paired = estimators.paired_difference(first, last, 16)["avg@16"]
    unpaired = np.hypot(*(end.high - end.low for end in ends))
    assert paired.high - paired.low < 0.5 * unpaired
    assert paired.low < ends[1].value - ends[0].value < paired.high


def test_paired_refuses_evaluation_sets_of_two_sizes():
    with pytest.raises(ValueError, match="of 1 and of 2 problems"):
        estimators.paired_difference(make_scores([1]), make_scores([1, 2]), 4)


def test_summary_by_hand():
    found = estimators.score_judgments(
        [judge_words("1 2! 2!"), judge_words("5 5 5"), judge_words("? 3! 4?")], ["one"] * 3
    )
    assert found.right == (1, 3, 0)
    assert found.majority == (0.0, 1.0, 0.0)
    assert (found.errors, found.timeouts) == (2, 2)
    assert found.figures["avg@3"].value == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert list(found.figures) == ["avg@3", "pass@1", "pass@2", "pass@3", "maj@3"]
    assert found.figures["pass@1"].value == pytest.approx(found.figures["avg@3"].value)
    # 1 - C(2, 2) / C(3, 2) = 2/3
    assert found.figures["pass@2"].value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.figures["pass@3"].value == pytest.approx(2 / 3)
    assert found.figures["maj@3"].value == pytest.approx(1 / 3)
    document = found.to_json()
    assert list(document["pass_at_k"]) == ["1", "2", "3"]
    assert "by_source" not in document
    json.dumps(document, allow_nan=False)  # plain numbers


def test_an_error_is_counted_and_told_from_a_timeout():
    crash = Judgment("error", None, "worker died")
    found = estimators.score_judgments([[crash, *judge_words("7?")], judge_words("7 7")], ["", ""])
    assert (found.errors, found.timeouts, found.right) == (2, 1, (0, 2))


def test_summary_by_source():
    found = estimators.score_judgments(
        [judge_words("1 1"), judge_words("2! 3"), judge_words("4! 5!")], ["a", "b", "a"]
    )
    assert list(found.by_source) == ["a", "b"]
    a, b = found.by_source.values()
    assert (a.problems, a.figures["avg@2"].value, a.figures["pass@2"].value) == (2, 0.5, 0.5)
    shares = [b.figures[name].value for name in ("avg@2", "pass@2", "maj@2")]
    assert b.problems == 1 and shares == [0.5, 1.0, 0.5]
    assert found.figures["avg@2"].value == 0.5


@pytest.mark.parametrize(
    "judgments, sources",
    [
        ([], []),
        ([[]], ["a"]),
        ([judge_words("1"), judge_words("1 2")], ["a", "a"]),
        ([judge_words("1")], []),
    ],
)
def test_summary_refuses(judgments, sources):
    with pytest.raises(ValueError, match="all need K samples and a source"):
        estimators.score_judgments(judgments, sources)


def test_fingerprint_tells_evaluation_sets_apart():
    one, two = Problem(0, "1+1=", "2"), Problem(1, "1+2=", "3")
    changed = [two._replace(**{field: "x"}) for field in Problem._fields]
    sets = [[one, two], [two, one], [one], *([one, other] for other in changed)]
    assert len({eval_set_fingerprint(problems) for problems in sets}) == 8
    assert eval_set_fingerprint([one, two]) == eval_set_fingerprint((one, two))
