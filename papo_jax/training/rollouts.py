"""What a step trains on: prompts drawn, answered and judged; and drawn again where a group teaches
nothing.

Shapes: N prompts, G samples a prompt, B = N G sequences, P prompt slots, T completion slots.

Dynamic sampling, source: DAPO, Yu et al. 2025, arXiv 2503.14476, equation 11: only groups with 0 <
  right < G train.
"""

from typing import NamedTuple

import jax
import numpy as np

from papo_jax.evaluation.judging import judge_completions
from papo_jax.grading.judgment import RIGHT, Judgment
from papo_jax.learner.state import Stream, TrainState, stream_key
from papo_jax.learner.trajectories import Trajectories
from papo_jax.rollout.generate import Completions
from papo_jax.tasks import order
from papo_jax.tasks.problem import Problem
from papo_jax.training.session import Session
from papo_jax.training.step_clock import Clock


class Draw(NamedTuple):
    """N prompts, answered by the policy and judged; a step's several draws add up to one.

    Attributes:
      problems: N.
      completions: B, the samples of a problem side by side.
      trajectories: the same with their prompts.
      stats: `TokenStats` [B, T] under the parameters that sampled.
      texts: B, decoded.
      judgments: B.
      entropy: [2], the sum of the entropy over tokens and their number.
    """

    problems: list[Problem]
    completions: Completions
    trajectories: Trajectories
    stats: NamedTuple
    texts: list[str]
    judgments: list[Judgment]
    entropy: np.ndarray

    @property
    def rewards(self) -> np.ndarray:
        """1 for a right answer, 0 for any other, [N, G]."""
        right = [judgment.verdict == RIGHT for judgment in self.judgments]
        return np.array(right, np.float32).reshape(len(self.problems), -1)


class Gathered(NamedTuple):
    """What a step works with.

    Attributes:
      all: every prompt that was drawn, for what is logged; M >= N prompts.
      chosen: N prompts, those that teach something first.
      kept: [N, G] boolean, false on answers that are left out of the loss.
      draws: how often prompts were drawn.
    """

    all: Draw
    chosen: Draw
    kept: np.ndarray
    draws: int


def gather(session: Session, state: TrainState, step: int, clock: Clock) -> Gathered:
    """Draws prompts until N groups are neither all right nor all wrong, at most `method.refills`
    times more.

    What there is then is gone on with: the places that are left go to groups which are left out of
    the loss, so that shapes stay. Without refills every group takes part.

    Args:
      session: of the run.
      state: whose parameters sample; its cursor says which prompts come next.
      step: its number.
      clock: told what took how long.

    Returns:
      `Gathered`.

    Raises:
      TrainingStopped: if no answer of a draw could be judged.
    """
    method, count = session.settings.method_arguments(), session.settings.rollout.prompts
    draws = [_draw(session, state, step, 0, clock)]
    while len(draws) <= method["refills"] and sum(map(_teaching, draws)) < count:
        draws.append(_draw(session, state, step, len(draws), clock))
    whole = draws[0] if len(draws) == 1 else _together(draws)
    groups, chosen = np.arange(count), whole
    if len(draws) > 1:
        groups = np.argsort(~informative(whole.rewards), kind="stable")[:count]
        chosen = _groups(whole, groups)
    return Gathered(whole, chosen, _kept(chosen, method), len(draws))


def informative(rewards: np.ndarray) -> np.ndarray:
    """Says which groups are neither all right nor all wrong.

    >>> informative(np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])).tolist()
    [False, True, False]
    """
    return (rewards.max(axis=1) == 1) & (rewards.min(axis=1) == 0)


def _kept(chosen: Draw, method: dict) -> np.ndarray:
    """[N, G] boolean: what takes part in the loss, by dynamic sampling and by DAPO's overlong
    mask."""
    rewards = chosen.rewards
    kept = np.ones_like(rewards, bool)
    if method["refills"]:
        kept &= informative(rewards)[:, None]
    if method["overlong_mask"]:
        kept &= ~np.asarray(chosen.completions.truncated).reshape(kept.shape)
    return kept


def _teaching(draw: Draw) -> int:
    return int(informative(draw.rewards).sum())


def _draw(session: Session, state: TrainState, step: int, number: int, clock: Clock) -> Draw:
    """The prompts that come next after `number` draws of this step."""
    settings, programs = session.settings, session.programs
    count, task = settings.rollout.prompts, session.problems.train
    identifiers = order.draw_identifiers(
        settings.seed, int(state.cursor) + number * count, count, task.parts
    )
    problems = [task.train[int(i)] for i in identifiers]
    key = stream_key(state.key, step, Stream.ROLLOUT)
    if number:  # a small task may come round to a prompt again, and should not be answered in the same words
        key = jax.random.fold_in(stream_key(state.key, step, Stream.REFILLS), number)
    completions, trajectories = programs.rollout(state.params, session.prompts(identifiers), key)
    texts = session.texts(completions)
    clock.lap("rollout")
    stats = programs.assess(
        state.params, trajectories
    )  # in the background, while answers are judged
    entropy = programs.entropy_sum(stats, trajectories.mask)
    judgments = judge_completions(session.pool, problems, texts, owner=f"step {step}")
    clock.lap("grade")
    return Draw(problems, completions, trajectories, stats, texts, judgments, np.asarray(entropy))


def _together(draws: list[Draw]) -> Draw:
    """Several draws as one, on the host, prompts padded to the widest."""
    width = max(draw.trajectories.prompt_tokens.shape[1] for draw in draws)
    arrays = [(draw.completions, _widened(draw.trajectories, width), draw.stats) for draw in draws]
    completions, trajectories, stats = jax.tree.map(
        lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *arrays
    )
    lists = [
        sum((getattr(draw, name) for draw in draws), [])
        for name in ("problems", "texts", "judgments")
    ]
    return Draw(
        lists[0], completions, trajectories, stats, *lists[1:], sum(draw.entropy for draw in draws)
    )


def _widened(trajectories: Trajectories, width: int) -> Trajectories:
    more = ((0, 0), (width - trajectories.prompt_tokens.shape[1], 0))
    return trajectories._replace(
        prompt_tokens=np.pad(np.asarray(trajectories.prompt_tokens), more),
        prompt_valid=np.pad(np.asarray(trajectories.prompt_valid), more),
    )


def _groups(draw: Draw, groups: np.ndarray) -> Draw:
    """Some of the groups of a draw that is on the host, in the order asked for."""
    size = len(draw.texts) // len(draw.problems)
    rows = (groups[:, None] * size + np.arange(size)).reshape(-1)
    arrays = jax.tree.map(
        lambda leaf: leaf[rows], (draw.completions, draw.trajectories, draw.stats)
    )

    def pick(values, chosen):
        return [values[int(i)] for i in chosen]

    return Draw(
        pick(draw.problems, groups),
        *arrays,
        pick(draw.texts, rows),
        pick(draw.judgments, rows),
        draw.entropy,
    )
