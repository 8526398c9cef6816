"""Rollouts of a step: prompts are drawn, answered and graded, again for zero-variance groups.

A draw is N prompts with G completions each. A step makes one, and with dynamic sampling up to
`refills` more until N of all the groups drawn are informative: neither all right nor all wrong.
Only those train. Source: DAPO, Yu et al. 2025, arXiv 2503.14476, equation 11, 0 < right < G.

Shapes: N prompts, G samples a prompt, B = N G sequences, P prompt slots, T completion slots.
"""

from typing import NamedTuple, cast

import jax
import numpy as np
from jax.sharding import Mesh

from kernels.token_stats import TokenStats
from papo_jax import mesh_rules
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
    """Prompts of one draw or of several joined, answered by the policy and judged.

    Attributes:
      problems: N.
      completions: B, the samples of a problem side by side.
      trajectories: the completions with their prompts.
      stats: `TokenStats` [B, T] under the parameters that sampled, from the sampler's logits or
        from the trainer's pass, as the settings say.
      trainer_logprob: [B, T] from the trainer's pass, nats, to compare with the sampler's; None
        where that pass was not made.
      texts: B completions, decoded.
      judgments: B.
      entropy_totals: [2], the sum of the entropy over all tokens that were drawn, nats, and the
        number of those tokens.
    """

    problems: list[Problem]
    completions: Completions
    trajectories: Trajectories
    stats: TokenStats
    trainer_logprob: jax.Array | None
    texts: list[str]
    judgments: list[Judgment]
    entropy_totals: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Tells which answers are right, [N, G] boolean."""
        right = [judgment.is_right for judgment in self.judgments]
        return np.array(right, bool).reshape(len(self.problems), -1)

    @property
    def rewards(self) -> np.ndarray:
        """The task's rewards, [N, G] float32: 1 for a right answer, 0 for any other."""
        return self.right.astype(np.float32)

    @property
    def token_count(self) -> int:
        """The number of tokens that the policy drew."""
        return int(self.entropy_totals[1])


class RolloutBatch(NamedTuple):
    """The rollouts of a step: all that were drawn, and those of them to train on.

    Attributes:
      drawn: all draws joined, which the logged figures are of.
      trained: N prompts out of them, informative groups first.
      kept: [N, G] boolean, false on the trained prompts' answers that the loss leaves out.
      draws: the number of draws.
      reference_logprob: [B, T] of the trained prompts' answers under the reference policy of a KL
        term, nats; None where the method has no such term.
    """

    drawn: GradedRollout
    trained: GradedRollout
    kept: np.ndarray
    draws: int
    reference_logprob: jax.Array | None

    @property
    def rollout(self) -> Rollout:
        """The learner's view of the trained prompts, with the entropy of all draws."""
        total, tokens = self.drawn.entropy_totals
        return Rollout(
            trajectories=self.trained.trajectories,
            stats=self.trained.stats,
            entropy=cast(jax.Array, np.float32(total / max(1.0, tokens))),  # moved by jit
            reference_logprob=self.reference_logprob,
        )

    @property
    def grades(self) -> Grades:
        """The grades of the trained prompts' answers."""
        return Grades(rewards=self.trained.rewards, right=self.trained.right, kept=self.kept)


def collect_rollouts(run: TrainingRun, state: TrainState, step: int, clock: Clock) -> RolloutBatch:
    """Draws prompts until N groups are informative or refills run out.

    If they run out, other groups fill the batch up, masked out of the loss, so that shapes stay
    static. Without refills every group takes part.

    Args:
      run: from `prepare_run`.
      state: whose parameters sample; its cursor says which prompts come next.
      step: the step's number.
      clock: of the step; gets the times of sampling and grading.

    Returns:
      `RolloutBatch`.

    Raises:
      TrainingStopped: if no answer of a draw could be judged.
    """
    method, prompts = run.settings.method, run.settings.rollout.prompts
    draws = [_draw_rollout(run, state, step, number=0, clock=clock)]
    while len(draws) <= method.refills and sum(map(_count_informative, draws)) < prompts:
        draws.append(_draw_rollout(run, state, step, number=len(draws), clock=clock))
    drawn = draws[0] if len(draws) == 1 else _join_draws(draws)
    trained = drawn
    if len(draws) > 1:
        groups = np.argsort(~is_informative(drawn.right), kind="stable")[:prompts]
        # On the devices once, and not again for every program that reads it.
        trained = _move_to_devices(_select_groups(drawn, groups), run.mesh)
    reference_logprob = None
    if run.reference is not None:
        reference_logprob = run.programs.score(run.reference, trained.trajectories).logprob
    return RolloutBatch(
        drawn,
        trained,
        kept=_mask_answers(trained, method),
        draws=len(draws),
        reference_logprob=reference_logprob,
    )


def is_informative(right: np.ndarray) -> np.ndarray:
    """Tells which groups are neither all right nor all wrong, [N, G] -> [N].

    >>> is_informative(np.array([[True, True], [False, True], [False, False]])).tolist()
    [False, True, False]
    """
    return np.any(right, axis=1) & ~np.all(right, axis=1)


def _mask_answers(trained: GradedRollout, method: Method) -> np.ndarray:
    """Returns true on the answers of the loss, [N, G]: dynamic sampling, DAPO's overlong mask."""
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
    """Makes draw `number` of a step: the prompts that come next, sampled and graded."""
    settings, programs = run.settings, run.programs
    prompts, task = settings.rollout.prompts, run.problems.train
    identifiers = order.draw_identifiers(
        settings.seed, int(state.cursor) + number * prompts, prompts, task.parts
    )
    problems = [task.train[int(i)] for i in identifiers]

    # A completion's key comes from the problem's identifier and the sample's number. A small task
    # may reach a problem twice in a step, so each refill has a key of its own: under the same one
    # it would get the same completions.
    key = stream_key(state.key, step, Stream.ROLLOUT)
    if number:
        key = jax.random.fold_in(stream_key(state.key, step, Stream.REFILLS), number)
    completions, trajectories = programs.sample(state.params, run.pad_prompts(identifiers), key)
    texts = run.detokenize(completions)
    clock.lap("rollout")

    # The device computes statistics while the grading processes judge: nothing waits for it before
    # the last line.
    stats, trainer_logprob = completions.stats, None
    if not settings.samplers_statistics or settings.diagnoses(step):
        trainer_stats = programs.score(state.params, trajectories)
        trainer_logprob = trainer_stats.logprob
        stats = stats if settings.samplers_statistics else trainer_stats
    entropy_totals = programs.sum_entropy(stats, trajectories.action)
    judgments = judge_completions(run.pool, problems, texts, owner=f"step {step}")
    clock.lap("grade")
    return GradedRollout(
        problems=problems,
        completions=completions,
        trajectories=trajectories,
        stats=stats,
        trainer_logprob=trainer_logprob,
        texts=texts,
        judgments=judgments,
        entropy_totals=np.asarray(entropy_totals),
    )


def _join_draws(draws: list[GradedRollout]) -> GradedRollout:
    """Joins several draws on the host, their prompts padded to the widest."""
    width = max(draw.trajectories.prompt_tokens.shape[1] for draw in draws)
    arrays = [
        (
            draw.completions,
            _widen_prompts(draw.trajectories, width),
            draw.stats,
            draw.trainer_logprob,
        )
        for draw in draws
    ]

    def concatenate(*leaves):
        return np.concatenate([np.asarray(leaf) for leaf in leaves])

    completions, trajectories, stats, trainer_logprob = jax.tree.map(concatenate, *arrays)
    return GradedRollout(
        problems=[problem for draw in draws for problem in draw.problems],
        completions=completions,
        trajectories=trajectories,
        stats=stats,
        trainer_logprob=trainer_logprob,
        texts=[text for draw in draws for text in draw.texts],
        judgments=[judgment for draw in draws for judgment in draw.judgments],
        entropy_totals=sum((draw.entropy_totals for draw in draws), start=np.zeros(2, np.float32)),
    )


def _widen_prompts(trajectories: Trajectories, width: int) -> Trajectories:
    """Pads prompts on the left to `width` slots."""
    padding = ((0, 0), (width - trajectories.prompt_tokens.shape[1], 0))
    return trajectories._replace(
        prompt_tokens=np.pad(np.asarray(trajectories.prompt_tokens), padding),
        prompt_valid=np.pad(np.asarray(trajectories.prompt_valid), padding),
    )


def _move_to_devices(rollout: GradedRollout, mesh: Mesh) -> GradedRollout:
    """Moves the arrays that the learner reads onto the mesh."""
    trajectories, stats = jax.device_put(
        (rollout.trajectories, rollout.stats), mesh_rules.batch_sharding(mesh)
    )
    return rollout._replace(trajectories=trajectories, stats=stats)


def _select_groups(drawn: GradedRollout, groups: np.ndarray) -> GradedRollout:
    """Takes some groups of joined draws, in the given order; `entropy_totals` stays that of all."""
    samples = len(drawn.texts) // len(drawn.problems)
    rows = (groups[:, None] * samples + np.arange(samples)).reshape(-1)
    completions, trajectories, stats, trainer_logprob = jax.tree.map(
        lambda leaf: leaf[rows],
        (drawn.completions, drawn.trajectories, drawn.stats, drawn.trainer_logprob),
    )
    return drawn._replace(
        problems=[drawn.problems[int(group)] for group in groups],
        completions=completions,
        trajectories=trajectories,
        stats=stats,
        trainer_logprob=trainer_logprob,
        texts=[drawn.texts[int(row)] for row in rows],
        judgments=[drawn.judgments[int(row)] for row in rows],
    )
