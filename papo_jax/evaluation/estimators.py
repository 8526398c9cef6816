"""Estimators of an evaluation: avg@k, unbiased pass@k and maj@k, with 95 % intervals over problems.

Shapes: M problems of the evaluation set, K samples each. A figure is a share, and its value for the
evaluation set is the mean of its values for the problems. Figures go by name: "avg@8", "pass@1",
"pass@2", ..., "maj@8".
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from papo_jax.evaluation.bootstrap import bootstrap_means, percentile_interval
from papo_jax.evaluation.figures import Figures
from papo_jax.evaluation.schema import Scores, SourceScores
from papo_jax.grading.judgment import ERROR, RIGHT, TIMEOUT, Judgment


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimates without bias the chance that at least one of k samples is right.

        pass@k = 1 - C(n - c, k) / C(n, k)

    Source: Chen et al. 2021, arXiv 2107.03374.

    Args:
      n: samples drawn.
      c: right ones among them.
      k: at most n.

    Returns:
      The estimate, in [0, 1].

    Raises:
      ValueError: if not 0 <= c <= n and 1 <= k <= n.

    >>> round(pass_at_k(4, 1, 2), 3)  # 1 - C(3, 2) / C(4, 2) = 1 - 3 / 6
    0.5
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, not n = {n}, c = {c}, k = {k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def maj_at_k(judgments: Sequence[Judgment]) -> float:
    """Returns a problem's maj@k: the share of its most frequent answer that is right.

    Equal answers are one class: those whose canonical values are the same text (50%, 1/2 and 0.5),
    and all that were judged right, since they equal the reference. Every sample with an answer
    votes, judged or not, since a grader's failure is no reason to take the policy's vote away; a
    sample without an answer does not vote. The winning class counts by the share of its votes that
    were judged right, so that an error counts as not right here too, and classes that tie count by
    the mean of theirs. That is the chance to be judged right of a sample drawn from the winners.

    >>> seven, other = Judgment("right", "7"), Judgment("wrong", "8")
    >>> maj_at_k([seven, seven, other]), maj_at_k([seven, other])
    (1.0, 0.5)
    >>> maj_at_k([seven, Judgment("error", "7", "timeout"), other])
    0.5
    >>> maj_at_k(
    ...     [seven, Judgment("right", "7 m"), other, other]
    ... )  # 7 and 7 m, two votes against two
    0.5
    """
    right_answers = {judgment.answer for judgment in judgments if judgment.verdict == RIGHT}
    classes = defaultdict(list)
    for judgment in judgments:
        if judgment.answer is not None:
            name = RIGHT if judgment.answer in right_answers else f"not {judgment.answer}"
            classes[name].append(judgment.verdict == RIGHT)
    if not classes:
        return 0.0
    most = max(map(len, classes.values()))
    winners = [np.mean(votes) for votes in classes.values() if len(votes) == most]
    return float(np.mean(winners))


def per_problem_figures(
    right: Sequence[int], majority: Sequence[float] | None, samples: int
) -> dict[str, np.ndarray]:
    """Returns every figure's value for each problem.

    Args:
      right: [M], right samples of K.
      majority: [M], each problem's maj@k; without it the result has no maj@k either.
      samples: K.

    Returns:
      [M] each: avg@K, pass@1, pass@2, pass@4, ..., pass@K and maj@K.

    >>> figures = per_problem_figures([1, 2], [0.5, 1.0], 2)
    >>> list(figures), figures["pass@2"].tolist()
    (['avg@2', 'pass@1', 'pass@2', 'maj@2'], [1.0, 1.0])
    """
    counts = np.asarray(right)
    figures = {f"avg@{samples}": counts / samples}
    for k in sorted({2**power for power in range(samples.bit_length())} | {samples}):
        by_count = {c: pass_at_k(samples, c, k) for c in set(counts.tolist())}
        figures[f"pass@{k}"] = np.array([by_count[c] for c in counts.tolist()])
    if majority is not None:
        figures[f"maj@{samples}"] = np.asarray(majority, np.float64)
    return figures


def score_judgments(judgments: Sequence[Sequence[Judgment]], sources: Sequence[str]) -> Scores:
    """Turns the verdicts of one evaluation into scores; an error counts as not right.

    Args:
      judgments: [M][K].
      sources: [M], the task that each problem comes from.

    Returns:
      `Scores`, with pass@k for k = 1, 2, 4, ... and K.

    Raises:
      ValueError: if there is no sample, if problems differ in the number of theirs, or if a source
        is missing.
    """
    sizes = {len(row) for row in judgments}
    if len(sizes) != 1 or 0 in sizes or len(sources) != len(judgments):
        raise ValueError(
            f"{len(judgments)} problems with {sorted(sizes)} samples and {len(sources)} sources;"
            " all need K samples and a source"
        )

    # Verdicts to values, problem by problem.
    right = [sum(judgment.verdict == RIGHT for judgment in row) for row in judgments]
    majority = [maj_at_k(row) for row in judgments]
    errors = [judgment.reason for row in judgments for judgment in row if judgment.verdict == ERROR]
    values = per_problem_figures(right, majority, sizes.pop())

    # Values to intervals, over all problems and over those of each source.
    by_source = {}
    for source in dict.fromkeys(sources):
        own = np.array([other == source for other in sources])
        figures = _bootstrap_figures({name: value[own] for name, value in values.items()})
        by_source[source] = SourceScores(problems=int(own.sum()), figures=figures)
    return Scores(
        figures=_bootstrap_figures(values),
        right=tuple(right),
        majority=tuple(majority),
        errors=len(errors),
        timeouts=errors.count(TIMEOUT),
        by_source=by_source if len(by_source) > 1 else {},
    )


def paired_difference(first: Scores, last: Scores, samples: int) -> Figures:
    """Returns the change between two evaluations of one evaluation set, problem by problem.

    Args:
      first: scores, of which `right` and `majority` count; without `majority` the change of maj@k
        is left out.
      last: other ones.
      samples: K of both.

    Returns:
      Each figure, last minus first, with the interval of the paired difference.

    Raises:
      ValueError: if the two have different numbers of problems.
    """
    if len(first.right) != len(last.right):
        raise ValueError(
            f"evaluations of {len(first.right)} and of {len(last.right)} problems cannot be paired"
        )
    before, after = (
        per_problem_figures(scores.right, scores.majority, samples) for scores in (first, last)
    )
    shared = [name for name in before if name in after]
    return _bootstrap_figures({name: after[name] - before[name] for name in shared})


def _bootstrap_figures(values: dict[str, np.ndarray]) -> Figures:
    """Gives each figure [M] its interval, all from the same resamples."""
    resamples = bootstrap_means(np.stack(list(values.values())))
    return {
        name: percentile_interval(value.mean(), column)
        for (name, value), column in zip(values.items(), resamples.T, strict=True)
    }
