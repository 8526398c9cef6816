"""Metrics of a step's rollout, samples of it, and answers that could not be judged."""

from collections import Counter

import numpy as np

from papo_jax.grading.judgment import ERROR, TIMEOUT
from papo_jax.learner.weighted_advantages import WeightedAdvantages
from papo_jax.training.rollouts import GradedRollout, RolloutBatch, is_informative
from papo_jax.training.training_run import TrainingRun

FAILURES = 8  # a step; the counts are in its row
SHOWN = 2000  # characters of an answer that could not be judged: its end, where graders look


def rollout_metrics(batch: RolloutBatch, weighted: WeightedAdvantages) -> dict[str, float]:
    """Returns the figures of a step's rollout.

    They are of all draws, so that dynamic sampling does not change what they mean;
    `rollout/kept` is the share of the trained answers that take part in the loss, be it with some
    of their tokens.
    """
    # In NumPy: these few sums are not worth a compilation.
    drawn, right = batch.drawn, batch.drawn.right
    mask = np.asarray(drawn.completions.action)
    verdicts = Counter(judgment.verdict for judgment in drawn.judgments)
    reasons = Counter(judgment.reason for judgment in drawn.judgments)
    return {
        "reward/mean": drawn.rewards.mean(),
        "reward/all_right": right.all(axis=1).mean(),
        "reward/all_wrong": (~right).all(axis=1).mean(),
        "length/mean": mask.sum(axis=1).mean(),
        "length/truncated": np.asarray(drawn.completions.truncated).mean(),
        "rollout/draws": batch.draws,
        "rollout/informative": is_informative(right).mean(),
        "rollout/informative_by_length": _informative_by_length(batch.trained, weighted).mean(),
        "rollout/kept": np.asarray(weighted.loss_mask).any(axis=1).mean(),
        "grader/error": verdicts[ERROR] / len(drawn.judgments),
        "grader/timeout": reasons[TIMEOUT] / len(drawn.judgments),
        **_sampler_gap(drawn),
    }


def _sampler_gap(drawn: GradedRollout) -> dict[str, float]:
    """Returns how far the sampler's log-probabilities are from the trainer's, where both exist."""
    if drawn.trainer_logprob is None:
        return {}
    mask = np.asarray(drawn.completions.action)
    sampled = np.asarray(drawn.completions.stats.logprob)[mask]
    gap = np.asarray(drawn.trainer_logprob)[mask] - sampled
    with np.errstate(over="ignore"):  # infinite it is, where a sampler is as good as greedy
        divergence = (np.expm1(gap) - gap).mean()  # k3, as in methods.objectives
    return {"kl/sampler_trainer": divergence, "logprob_gap/max": np.abs(gap).max()}


def _informative_by_length(trained: GradedRollout, weighted: WeightedAdvantages) -> np.ndarray:
    """Tells which trained groups have one verdict and still teach, by their lengths alone, [N].

    The penalty on long answers parts such a group's rewards, and dividing by the group's deviation
    gives their advantages the size of those between right and wrong.
    """
    advantages = np.asarray(weighted.answer_advantages).reshape(trained.right.shape)
    return ~is_informative(trained.right) & (np.ptp(advantages, axis=1) > 0)


def list_samples(
    run: TrainingRun, step: int, trained: GradedRollout, weighted: WeightedAdvantages
) -> list[dict]:
    """Returns the first sample of the first few trained prompts, as they go to samples.jsonl."""
    group = run.settings.rollout.samples
    advantages = np.asarray(weighted.answer_advantages).reshape(-1, group)
    truncated = np.asarray(trained.completions.truncated).reshape(-1, group)
    rewards = trained.rewards
    return [
        {
            "step": step,
            "problem": problem.identifier,
            "prompt": problem.prompt,
            "completion": trained.texts[n * group],
            "answer": problem.answer_text,
            "verdict": trained.judgments[n * group].verdict,
            "reward": float(rewards[n, 0]),
            "advantage": float(advantages[n, 0]),
            "truncated": bool(truncated[n, 0]),
        }
        for n, problem in enumerate(trained.problems[: run.settings.telemetry.samples])
    ]


def list_failures(step: int, drawn: GradedRollout) -> list[dict]:
    """Returns the first few answers that could not be judged, as they go to grader_errors.jsonl."""
    group = len(drawn.texts) // len(drawn.problems)
    failed = [index for index, judgment in enumerate(drawn.judgments) if judgment.verdict == ERROR]
    return [
        {
            "step": step,
            "problem": drawn.problems[index // group].identifier,
            "grader": drawn.problems[index // group].grader,
            "answer": drawn.problems[index // group].answer_text,
            "reason": drawn.judgments[index].reason,
            "completion": drawn.texts[index][-SHOWN:],
        }
        for index in failed[:FAILURES]
    ]
