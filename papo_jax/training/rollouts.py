"""Rollouts of a step: prompts drawn, answered and graded, and drawn again for zero-variance groups.

Shapes: N prompts, G samples a prompt, B = N G sequences, P prompt slots, T completion slots.

Dynamic sampling, source: DAPO, Yu et al. 2025, arXiv 2503.14476, equation 11: only groups with
0 < right < G train.
"""

from typing import NamedTuple

import jax
import numpy as np

from kernels.token_stats import TokenStats
from papo_jax.evaluation.judging import judge_completions
from papo_jax.grading.judgment import Judgment
from papo_jax.learner.batches import Grades, Rollout, Trajectories
from papo_jax.learner.state import Stream, TrainState, stream_key
from papo_jax.methods.method import Method
from papo_jax.rollout.generate import Completions
from papo_jax.tasks import order
from papo_jax.tasks.problem import Problem
from papo_jax.training.step_clock import Clock
from papo_jax.training.training_run import TrainingRun


class GradedRollout(NamedTuple):
    """N prompts, answered by the policy and judged; a step's several draws add up to one.

    Attributes:
      problems: N.
      completions: B, the samples of a problem side by side.
      trajectories: the same with their prompts.
      stats: `TokenStats` [B, T] under the parameters that sampled.
      texts: B, decoded.
      judgments: B.
      entropy_sum: [2], the sum of the entropy over tokens and their number.
    """

    problems: list[Problem]
    completions: Completions
    trajectories: Trajectories
    stats: TokenStats
    texts: list[str]
    judgments: list[Judgment]
    entropy_sum: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Tells which answers are right, [N, G] boolean."""
        right = [judgment.is_right for judgment in self.judgments]
        return np.array(right, bool).reshape(len(self.problems), -1)

    @property
    def rewards(self) -> np.ndarray:
        """The task's rewards, [N, G] float32: 1 for a right answer, 0 for any other."""
        return self.right.astype(np.float32)


class RolloutBatch(NamedTuple):
    """The rollouts of a step, with what is kept of them.

    Attributes:
      drawn: every prompt that was drawn, for what is logged; M >= N prompts.
      trained: N prompts, those whose groups have a signal first.
      kept: [N, G] boolean, false on answers that are left out of the loss.
      draws: how often prompts were drawn.
    """

    drawn: GradedRollout
    trained: GradedRollout
    kept: np.ndarray
    draws: int

    @property
    def rollout(self) -> Rollout:
        """The learner's view of the trained prompts, with the entropy of all draws."""
        total, tokens = self.drawn.entropy_sum
        return Rollout(
            trajectories=self.trained.trajectories,
            stats=self.trained.stats,
            entropy=np.float32(total / max(1.0, tokens)),
        )

    @property
    def grades(self) -> Grades:
        """The grades of the trained prompts' answers."""
        return Grades(rewards=self.trained.rewards, right=self.trained.right, kept=self.kept)


def collect_rollouts(run: TrainingRun, state: TrainState, step: int, clock: Clock) -> RolloutBatch:
    """Draws prompts until N groups are neither all right nor all wrong, or refills run out.

    Then the batch is padded with groups that are masked out of the loss, so shapes
    stay static. Without refills every group takes part.

    Args:
      run: set up.
      state: whose parameters sample; its cursor says which prompts come next.
      step: its number.
      clock: told what took how long.

    Returns:
      `RolloutBatch`.

    Raises:
      TrainingStopped: if no answer of a draw could be judged.
    """
    method, count = run.settings.method, run.settings.rollout.prompts
    draws = [_draw_rollout(run, state, step, number=0, clock=clock)]
    while len(draws) <= method.refills and sum(map(_count_informative, draws)) < count:
        draws.append(_draw_rollout(run, state, step, number=len(draws), clock=clock))
    drawn = draws[0] if len(draws) == 1 else _join_draws(draws)
    trained = drawn
    if len(draws) > 1:
        groups = np.argsort(~is_informative(drawn.right), kind="stable")[:count]
        trained = _select_groups(drawn, groups)
    return RolloutBatch(drawn, trained, kept=_kept_answers(trained, method), draws=len(draws))


def is_informative(right: np.ndarray) -> np.ndarray:
    """Tells which groups are neither all right nor all wrong, [N, G] -> [N].

    >>> is_informative(np.array([[True, True], [False, True], [False, False]])).tolist()
    [False, True, False]
    """
    return right.any(axis=1) & ~right.all(axis=1)


def _kept_answers(trained: GradedRollout, method: Method) -> np.ndarray:
    """Says what takes part in the loss, [N, G], by dynamic sampling and DAPO's overlong mask."""
    kept = np.ones_like(trained.right)
    if method.refills:
        kept &= is_informative(trained.right)[:, None]
    if method.overlong_mask:
        kept &= ~np.asarray(trained.completions.truncated).reshape(kept.shape)
    return kept


def _count_informative(drawn: GradedRollout) -> int:
    return int(is_informative(drawn.right).sum())


def _draw_rollout(
    run: TrainingRun, state: TrainState, step: int, *, number: int, clock: Clock
) -> GradedRollout:
    """Samples and grades the prompts that come next after `number` draws of this step."""
    settings, programs = run.settings, run.programs
    count, task = settings.rollout.prompts, run.problems.train
    identifiers = order.draw_identifiers(
        settings.seed, int(state.cursor) + number * count, count, task.parts
    )
    problems = [task.train[int(i)] for i in identifiers]

    key = stream_key(state.key, step, Stream.ROLLOUT)
    if number:
        # A small task may come round to a prompt again, and should not be answered in the same
        # words.
        key = jax.random.fold_in(stream_key(state.key, step, Stream.REFILLS), number)
    completions, trajectories = programs.sample(state.params, run.pad_prompts(identifiers), key)
    texts = run.detokenize(completions)
    clock.lap("rollout")

    # Statistics in the background, while answers are judged.
    stats = programs.score(state.params, trajectories)
    entropy_sum = programs.sum_entropy(stats, trajectories.action)
    judgments = judge_completions(run.pool, problems, texts, owner=f"step {step}")
    clock.lap("grade")
    return GradedRollout(
        problems=problems,
        completions=completions,
        trajectories=trajectories,
        stats=stats,
        texts=texts,
        judgments=judgments,
        entropy_sum=np.asarray(entropy_sum),
    )


def _join_draws(draws: list[GradedRollout]) -> GradedRollout:
    """Puts several draws together on the host, prompts padded to the widest."""
    width = max(draw.trajectories.prompt_tokens.shape[1] for draw in draws)
    arrays = [
        (draw.completions, _widen_prompts(draw.trajectories, width), draw.stats) for draw in draws
    ]

    def concatenate(*leaves):
        return np.concatenate([np.asarray(leaf) for leaf in leaves])

    completions, trajectories, stats = jax.tree.map(concatenate, *arrays)
    return GradedRollout(
        problems=[problem for draw in draws for problem in draw.problems],
        completions=completions,
        trajectories=trajectories,
        stats=stats,
        texts=[text for draw in draws for text in draw.texts],
        judgments=[judgment for draw in draws for judgment in draw.judgments],
        entropy_sum=sum(draw.entropy_sum for draw in draws),
    )


def _widen_prompts(trajectories: Trajectories, width: int) -> Trajectories:
    """Pads prompts on the left."""
    padding = ((0, 0), (width - trajectories.prompt_tokens.shape[1], 0))
    return trajectories._replace(
        prompt_tokens=np.pad(np.asarray(trajectories.prompt_tokens), padding),
        prompt_valid=np.pad(np.asarray(trajectories.prompt_valid), padding),
    )


def _select_groups(drawn: GradedRollout, groups: np.ndarray) -> GradedRollout:
    """Takes some of the groups of a draw that is on the host, in the order asked for."""
    size = len(drawn.texts) // len(drawn.problems)
    rows = (groups[:, None] * size + np.arange(size)).reshape(-1)
    completions, trajectories, stats = jax.tree.map(
        lambda leaf: leaf[rows], (drawn.completions, drawn.trajectories, drawn.stats)
    )
    return drawn._replace(
        problems=[drawn.problems[int(group)] for group in groups],
        completions=completions,
        trajectories=trajectories,
        stats=stats,
        texts=[drawn.texts[int(row)] for row in rows],
        judgments=[drawn.judgments[int(row)] for row in rows],
    )
