"""Parameter polarity of a whole rollout: what each token's update does to the mean entropy, shared
parameters included.

    u_t = <grad log p(y_t), M grad Hbar>,   P^theta_t = A_t u_t

Hbar is the mean entropy of the rollout's tokens, M the optimizer's preconditioner, a diagonal.
One reverse pass for grad Hbar, one forward-mode pass for all u_t
(`papo_jax.polarity.parameter_polarity` has the theory).
Shapes: B sequences, T completion slots. What stands after `*` is static.
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from papo_jax.learner.trajectories import Trajectories, map_rows, split, statistics
from papo_jax.models import Params, lora


def unit_parameter(
    params: Params,
    preconditioner: Params | None,
    trajectories: Trajectories,
    frozen: Params | None = None,
    *,
    graph: nnx.GraphDef,
    temperature: float,
    parts: int,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Computes u for every token.

    Args:
      params: those that are trained.
      preconditioner: diagonal of M, like `params`; None for the identity, which is exact for SGD.
      trajectories: B sequences.
      frozen: parameters that are not trained; None where all are.
      graph: of the policy.
      temperature: the sampler's.
      parts: slices that the rows are gone through in.
      mesh: that parameters and trajectories are spread over; None for one device.

    Returns:
      [B, T] nats per unit of learning rate and of A, 0 where the mask is false; under Adam up to
      the factor of the clip and of the first moment, the same for all tokens, which no weighting
      sees.
    """

    def of(params, rows, implementation):
        joined = lora.join_params(params, frozen)
        return statistics(
            graph, joined, rows, temperature=temperature, implementation=implementation, mesh=mesh
        )

    def entropy(params, rows):
        return of(params, rows, None).entropy.sum()

    def add(total, rows):
        return (jax.tree.map(jnp.add, total, jax.grad(entropy)(params, rows)), None)

    direction, _ = jax.lax.scan(
        add, jax.tree.map(jnp.zeros_like, params), split(trajectories, parts)
    )
    tokens = jnp.maximum(trajectories.mask.sum(), 1)
    direction = jax.tree.map(lambda leaf: leaf / tokens, direction)
    if preconditioner is not None:
        direction = jax.tree.map(jnp.multiply, preconditioner, direction)

    def along(rows):
        return jax.jvp(lambda p: of(p, rows, "forward").logprob, (params,), (direction,))[1]

    return jnp.where(trajectories.mask, map_rows(along, parts, trajectories), 0.0)


def adam_preconditioner(opt_state: optax.OptState, *, b2: float, epsilon: float) -> Params:
    """Returns the diagonal of Adam's preconditioner as the last update left it: a heuristic, since
    the next one moves it.

        M = 1 / (sqrt(v / (1 - b2^n)) + epsilon) after n updates, and 1 for n = 0

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
