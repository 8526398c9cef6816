"""One branch of polarity alone: the ablations that ask what each of the two is for, and random
choices of tokens as controls.

Source: the paper of PAPO, arXiv 2605.11775 (2026), says that the branches are complementary; that
the other branch's tokens leave numerator and denominator, and that tokens in the dead band stay, is
our choice. The surrogate and the length penalty are PAPO's, so that they differ in the branch
alone.
"""

from collections.abc import Callable

import jax

from kernels.token_stats import TokenStats
from papo_jax.methods import draws as choices
from papo_jax.methods import signals
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import DAPO


def contracting(
    stats: TokenStats, advantages: jax.Array, mask: jax.Array, *, dead_band: float = 1e-6
) -> jax.Array:
    """Tells which tokens have P < 0, [B, T]: those that the positive branch does without."""
    return signals.polarity(stats, advantages, mask, dead_band=dead_band) < 0


def expanding(
    stats: TokenStats, advantages: jax.Array, mask: jax.Array, *, dead_band: float = 1e-6
) -> jax.Array:
    """Tells which tokens have P > 0, [B, T]: those that the negative branch does without."""
    return signals.polarity(stats, advantages, mask, dead_band=dead_band) > 0


def a_random_half(
    stats: TokenStats,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    draws: jax.Array,
    dead_band: float = 1e-6,
) -> jax.Array:
    """Tells which tokens with P != 0 have lost the toss of a coin, [B, T]."""
    return (signals.polarity(stats, advantages, mask, dead_band=dead_band) != 0) & (draws < 0.5)


def contracting_in_number(
    stats: TokenStats,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    draws: jax.Array,
    dead_band: float = 1e-6,
) -> jax.Array:
    """Tells which tokens go when as many of each sign of A go as `contracting` takes, drawn among
    those with P != 0, [B, T]."""
    return _in_number(contracting, stats, advantages, mask, draws=draws, dead_band=dead_band)


def expanding_in_number(
    stats: TokenStats,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    draws: jax.Array,
    dead_band: float = 1e-6,
) -> jax.Array:
    """Tells which tokens go when as many of each sign of A go as `expanding` takes, drawn among
    those with P != 0, [B, T]."""
    return _in_number(expanding, stats, advantages, mask, draws=draws, dead_band=dead_band)


def _in_number(
    branch: Callable[..., jax.Array], stats, advantages, mask, *, draws, dead_band
) -> jax.Array:
    gone = branch(stats, advantages, mask, dead_band=dead_band)
    acting = signals.polarity(stats, advantages, mask, dead_band=dead_band) != 0
    raised, lowered = (
        choices.lowest(draws, acting & side, (gone & side).sum())
        for side in (advantages > 0, advantages < 0)
    )
    return raised | lowered


def _without(drop: Callable[..., jax.Array]) -> Arguments:
    return arguments(
        DAPO, drop=drop, clip_low=0.2, clip_high=0.28, kl_coefficient=0.0, overlong=0.2
    )


def positive_branch() -> Arguments:
    """Updates that expand entropy, P > 0, and tokens in the dead band; clip 0.2 / 0.28, token
    mean."""
    return _without(contracting)


def negative_branch() -> Arguments:
    """Updates that contract entropy, P < 0, and tokens in the dead band; clip 0.2 / 0.28, token
    mean."""
    return _without(expanding)


def random_branch() -> Arguments:
    """A random half of the tokens that have a polarity, and those in the dead band: what leaving
    tokens out does by itself; ours."""
    return _without(a_random_half)


def random_positive_branch() -> Arguments:
    """As many tokens of right and of wrong answers as `positive_branch` has, at random: its signs
    of A without its polarity; ours."""
    return _without(contracting_in_number)


def random_negative_branch() -> Arguments:
    """As many tokens of right and of wrong answers as `negative_branch` has, at random: its signs
    of A without its polarity; ours."""
    return _without(expanding_in_number)


PRESETS = (
    positive_branch,
    negative_branch,
    random_branch,
    random_positive_branch,
    random_negative_branch,
)
