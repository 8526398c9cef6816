"""The two entry points, and the choice of an implementation.

Implementations so far: "reference" holds all logits; "forward" holds a chunk of time steps and passes both
differentiation modes. The one-pass kernels come behind the same two functions.
"""

import jax

from kernels.token_stats import forward, reference
from kernels.token_stats.reference import TokenStats


def token_stats(
    logits: jax.Array, tokens: jax.Array, *, temperature: float = 1.0, implementation: str | None = None
) -> TokenStats:
    """Computes log-probability, logsumexp, entropy and unit polarity of `tokens`; see `reference.token_stats`.

    Args:
      logits: [..., V] of any float dtype; -inf is outside the support.
      tokens: [...] integers.
      temperature: tau > 0.
      implementation: None (the best for the backend) or "reference".

    Returns:
      `TokenStats` of shape [...], at least float32.

    Raises:
      ValueError: if there is no such implementation of this form.

    >>> import jax.numpy as jnp
    >>> print(token_stats(jnp.zeros((1, 8)), jnp.array([5])).entropy.round(4))  # log 8
    [2.0794]
    """
    return _choose(implementation, {"reference": reference.token_stats}, default="reference")(
        logits, tokens, temperature=temperature
    )


def linear_token_stats(
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    *,
    temperature: float = 1.0,
    implementation: str | None = None,
) -> TokenStats:
    """Computes `token_stats` of the logits hidden @ unembedding^T.

    Args:
      hidden: [..., D].
      unembedding: [V, D].
      tokens: [...] integers.
      temperature: tau > 0.
      implementation: None (the best for the backend), "reference" or "forward".

    Returns:
      `TokenStats` of shape [...], at least float32.

    Raises:
      ValueError: if there is no such implementation of this form.

    >>> import jax.numpy as jnp
    >>> print(linear_token_stats(jnp.ones((1, 2)), jnp.zeros((4, 2)), jnp.array([3])).entropy.round(4))
    [1.3863]
    """
    known = {"reference": reference.linear_token_stats, "forward": forward.linear_token_stats}
    return _choose(implementation, known, default="forward")(hidden, unembedding, tokens, temperature=temperature)


def _choose(implementation: str | None, known: dict, *, default: str):
    name = default if implementation is None else implementation
    if name not in known:
        raise ValueError(f"implementation {name!r} of the token statistics is none of {sorted(known)}")
    return known[name]
