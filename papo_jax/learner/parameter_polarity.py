"""Parameter polarity of a whole rollout: what each token's update does to the mean entropy.

    u_t = <grad log p(y_t), M grad Hbar>,   P^theta_t = A_t u_t

Hbar is the mean entropy of the rollout's tokens, M the optimizer's preconditioner, a diagonal;
through shared parameters a token's update moves the entropy of other states too. One reverse pass
computes grad Hbar, one forward-mode pass all u_t, micro-batch by micro-batch. Tested against
`papo_jax.polarity.parameter_polarity`.

Shapes: B sequences, T completion slots.
"""

import jax
import jax.numpy as jnp
import optax

from papo_jax.learner.batches import Trajectories, split_rows
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.models import Params


def compute_unit_parameter_polarity(
    params: Params, preconditioner: Params | None, trajectories: Trajectories, scorer: PolicyScorer
) -> jax.Array:
    """Computes u for every token.

    Args:
      params: the trained parameters.
      preconditioner: diagonal of M, like `params`; None for the identity, which is exact for SGD.
      trajectories: B sequences.
      scorer: of the policy.

    Returns:
      [B, T] nats per unit of learning rate and of A, 0 where no action stands. Under Adam that is
      up to the factors of the gradient clip and of the first moment, which are the same for all
      tokens, so that no weighting depends on them.
    """

    # The direction M grad Hbar, summed over micro-batches.
    def total_entropy(params, rows):
        return scorer.token_stats(params, rows).entropy.sum()

    def add(total, rows):
        return jax.tree.map(jnp.add, total, jax.grad(total_entropy)(params, rows)), None

    parts = scorer.count_parts(trajectories.tokens.shape[0])
    zeros = jax.tree.map(jnp.zeros_like, params)
    direction, _ = jax.lax.scan(add, zeros, split_rows(trajectories, parts))
    tokens = jnp.maximum(trajectories.action.sum(), 1)
    direction = jax.tree.map(lambda leaf: leaf / tokens, direction)
    if preconditioner is not None:
        direction = jax.tree.map(jnp.multiply, preconditioner, direction)

    # The slope of every log-probability along it.
    def slope_along_direction(rows):
        def logprob(params):
            return scorer.token_stats(params, rows, implementation="forward").logprob

        return jax.jvp(logprob, (params,), (direction,))[1]

    slopes = scorer.map_microbatches(slope_along_direction, trajectories)
    return jnp.where(trajectories.action, slopes, 0.0)


def adam_preconditioner(opt_state: optax.OptState, *, b2: float, epsilon: float) -> Params:
    """Returns the diagonal of Adam's preconditioner as the last update left it.

        M = 1 / (sqrt(v / (1 - b2^n)) + epsilon) after n updates, and 1 for n = 0

    A heuristic, since the next update moves it.

    Source: Adam, Kingma and Ba 2015, arXiv 1412.6980, for the update; reading M off it is ours.

    Args:
      opt_state: of an optimizer with one Adam in it.
      b2: decay of the second moment.
      epsilon: Adam's.

    Returns:
      A tree like the parameters.
    """

    def is_adam(node):
        return isinstance(node, optax.ScaleByAdamState)

    adam = next(node for node in jax.tree.leaves(opt_state, is_leaf=is_adam) if is_adam(node))
    correction = 1.0 - b2 ** jnp.maximum(adam.count, 1).astype(jnp.float32)

    def scale(second):
        return jnp.where(adam.count > 0, 1.0 / (jnp.sqrt(second / correction) + epsilon), 1.0)

    return jax.tree.map(scale, adam.nu)
