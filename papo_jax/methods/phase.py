"""The phase signal s: above 0 where entropy is too low, below 0 where it is too high.

The paper (arXiv 2605.11775) says that the empirical entropy trajectory serves as an online phase
signal; how it becomes a number is our choice, in three forms (`PHASES`). What a form remembers of
earlier rollouts is a few scalars in the training state.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

PHASES = ("level", "trend", "fixed")
FLOOR = 1e-6  # nats; keeps the divisions finite for a policy without entropy


class EntropyTrajectory(NamedTuple):
    """The entropies of the rollouts so far, as far as signals need them; float32 scalars, nats.

    Attributes:
      initial: H_0, the mean entropy of the first rollouts.
      ema: exponential moving average of the entropy.
      switch: -1, 0 or +1, the branch that `switch` weighting favors until entropy crosses the
        opposite threshold; 0 before it has crossed any.
      count: int32, rollouts seen.
      entropy: of the last rollout.
      adaptive_coefficient: of an entropy bonus, where a method moves it
        (`methods.entropy_terms.adaptive_entropy`).
    """

    initial: jax.Array
    ema: jax.Array
    switch: jax.Array
    count: jax.Array
    entropy: jax.Array
    adaptive_coefficient: jax.Array


def init() -> EntropyTrajectory:
    """Returns the trajectory before the first rollout."""
    zero = jnp.zeros((), jnp.float32)
    return EntropyTrajectory(
        initial=zero,
        ema=zero,
        switch=zero,
        count=jnp.zeros((), jnp.int32),
        entropy=zero,
        adaptive_coefficient=zero,
    )


def update(
    state: EntropyTrajectory,
    entropy: jax.Array,
    *,
    phase: str = "level",
    target: float | None = None,
    target_start: float = 1.0,
    target_end: float = 1.0,
    target_steps: int = 100,
    initial_rollouts: int = 1,
    tau: float = 0.3,
    kappa: float = 10.0,
    decay: float = 0.9,
    fixed: float = 1.0,
    hysteresis: float = 0.1,
) -> tuple[EntropyTrajectory, jax.Array]:
    """Takes in one rollout's entropy and returns the signal for that rollout's updates.

        level   s = tanh((H_ref - H) / (tau H_0))
        trend   s = -tanh(kappa (H - EMA) / EMA), with the EMA before this rollout
        fixed   s = a constant

    H_ref is `target` in nats, or a share of H_0 that moves linearly from `target_start` to
    `target_end` over `target_steps` rollouts. All of it is our choice (see the module).

    Args:
      state: from `init` or the last call.
      entropy: [] mean exact entropy of the rollout's generated tokens, nats, before any filtering.
        One that is not finite changes nothing and gives s = 0.
      phase: one of `PHASES`.
      target: H_ref in nats, or None for the share of H_0.
      target_start, target_end, target_steps: the share of H_0 at first and in the end, and the
        rollouts in between.
      initial_rollouts: how many rollouts H_0 is the mean of; s = 0 until they are seen.
      tau: the level's width, in units of H_0.
      kappa: the trend's steepness.
      decay: of the EMA, per rollout.
      fixed: the constant.
      hysteresis: h; `switch` becomes +1 below (1 - h) H_ref and -1 above (1 + h) H_ref.

    Returns:
      (new state, s) with s [] in [-1, 1].

    Raises:
      ValueError: if there is no such phase.

    >>> state, s = update(init(), jnp.array(0.6))  # H_ref = H_0 = H
    >>> state, s = update(state, jnp.array(0.3))  # tanh((0.6 - 0.3) / (0.3 * 0.6)) = tanh(1.6667)
    >>> round(float(s), 4)
    0.9311
    """
    if phase not in PHASES:
        raise ValueError(f"phase {phase!r} is none of {PHASES}")
    entropy = jnp.asarray(entropy, jnp.float32)
    seen = state.count.astype(jnp.float32)

    # H_0, and the target that it gives.
    is_initial = state.count < initial_rollouts
    initial = jnp.where(is_initial, (state.initial * seen + entropy) / (seen + 1.0), state.initial)
    is_known = state.count + 1 >= initial_rollouts
    progress = jnp.clip(seen / target_steps, 0.0, 1.0)
    share = target_start + (target_end - target_start) * progress
    reference = share * initial if target is None else jnp.asarray(target, jnp.float32)

    # `switch` keeps its value while entropy is between the two thresholds.
    switch = jnp.where(entropy < (1.0 - hysteresis) * reference, 1.0, state.switch)
    switch = jnp.where(entropy > (1.0 + hysteresis) * reference, -1.0, switch)

    # The signal in each form; the first rollout has no trend.
    average = jnp.where(state.count == 0, entropy, state.ema)
    signal = {
        "level": jnp.tanh((reference - entropy) / (tau * jnp.maximum(initial, FLOOR))),
        "trend": -jnp.tanh(kappa * (entropy - average) / jnp.maximum(average, FLOOR)),
        "fixed": jnp.asarray(fixed, jnp.float32),
    }[phase]

    finite = jnp.isfinite(entropy)
    new = state._replace(
        initial=initial,
        ema=jnp.where(state.count == 0, entropy, decay * state.ema + (1.0 - decay) * entropy),
        switch=jnp.where(is_known, switch, 0.0),
        count=state.count + 1,
        entropy=entropy,
    )
    # A rollout without a finite entropy changes nothing: NaN would stay in the average for good.
    new = jax.tree.map(lambda after, earlier: jnp.where(finite, after, earlier), new, state)
    return new, jnp.where(is_known & finite, signal, 0.0)
