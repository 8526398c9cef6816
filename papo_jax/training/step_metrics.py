"""What a step logs of its rollout: figures of every answer that was drawn, some samples, and what
could not be judged."""

from collections import Counter

import numpy as np

from papo_jax.grading.judgment import ERROR, TIMEOUT
from papo_jax.learner.weighted_advantages import Weighed
from papo_jax.training.rollouts import Draw, Gathered, informative
from papo_jax.training.session import Session

FAILURES = 8  # a step; the counts are in its row
SHOWN = 2000  # characters of an answer that could not be judged: its end, where graders look


def rollout_metrics(gathered: Gathered, weighed: Weighed) -> dict[str, float]:
    """Returns the figures of a step's rollout.

    They are of all draws, so that dynamic sampling does not change what they speak of;
    `rollout/kept` is the share of the trained answers that take part in the loss, be it with some
    of their tokens.
    """
    # In NumPy: these few sums are not worth a compilation.
    drawn, rewards = gathered.all, gathered.all.rewards
    mask = np.asarray(drawn.completions.mask)
    gap = np.asarray(drawn.stats.logprob)[mask] - np.asarray(drawn.completions.logprob)[mask]
    verdicts = Counter(judgment.verdict for judgment in drawn.judgments)
    reasons = Counter(judgment.reason for judgment in drawn.judgments)
    return {
        "reward/mean": rewards.mean(),
        "reward/all_right": (rewards == 1).all(axis=1).mean(),
        "reward/all_wrong": (rewards == 0).all(axis=1).mean(),
        "length/mean": mask.sum(axis=1).mean(),
        "length/truncated": np.asarray(drawn.completions.truncated).mean(),
        "rollout/draws": gathered.draws,
        "rollout/informative": informative(rewards).mean(),
        "rollout/kept": np.asarray(weighed.loss_mask).any(axis=1).mean(),
        "grader/error": verdicts[ERROR] / len(drawn.judgments),
        "grader/timeout": reasons[TIMEOUT] / len(drawn.judgments),
        "kl/sampler_trainer": (np.expm1(gap) - gap).mean(),  # k3, as in methods.objectives
        "logprob_gap/max": np.abs(gap).max(),
    }


def samples(session: Session, step: int, chosen: Draw, weighed: Weighed) -> list[dict]:
    """Returns the first sample of the first few trained prompts, as they go to samples.jsonl."""
    group = session.settings.rollout.samples
    advantages = np.asarray(weighed.of_answer).reshape(-1, group)
    truncated = np.asarray(chosen.completions.truncated).reshape(-1, group)
    return [
        {
            "step": step,
            "problem": problem.identifier,
            "prompt": problem.prompt,
            "completion": chosen.texts[n * group],
            "answer": problem.answer,
            "verdict": chosen.judgments[n * group].verdict,
            "reward": float(chosen.rewards[n, 0]),
            "advantage": float(advantages[n, 0]),
            "truncated": bool(truncated[n, 0]),
        }
        for n, problem in enumerate(chosen.problems[: session.settings.telemetry.samples])
    ]


def failures(step: int, drawn: Draw) -> list[dict]:
    """Returns the first few answers that could not be judged and why, as they go to
    grader_errors.jsonl."""
    group = len(drawn.texts) // len(drawn.problems)
    failed = [place for place, judgment in enumerate(drawn.judgments) if judgment.verdict == ERROR]
    return [
        {
            "step": step,
            "problem": drawn.problems[place // group].identifier,
            "grader": drawn.problems[place // group].grader,
            "answer": drawn.problems[place // group].answer,
            "reason": drawn.judgments[place].reason,
            "completion": drawn.texts[place][-SHOWN:],
        }
        for place in failed[:FAILURES]
    ]
