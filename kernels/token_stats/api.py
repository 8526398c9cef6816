"""The two entry points, and the choice of an implementation.

| name | what it holds | derivatives | runs on |
|---|---|---|---|
| "reference" | all logits | both modes | anything; the default for few logits that are held already |
| "forward" (linear form only) | a chunk of logits | both modes | anything |
| "chunked" | a tile of logits | reverse | anything; the default but on TPU and GPU |
| "pallas_tpu" | a tile of logits, on chip | reverse | TPU, and the interpreter |
| "pallas_gpu" | a tile of logits, on chip | reverse | NVIDIA GPU, and the interpreter |
"""

import jax
import jax.numpy as jnp

from kernels.token_stats import chunked, forward_mode, pallas_gpu, pallas_tpu, reference, sums
from kernels.token_stats import platform as target
from kernels.token_stats.reference import TokenStats, wide
from kernels.token_stats.sums import Rows
from kernels.token_stats.varying_axes import varying_as

KERNELS = {"chunked": chunked, "pallas_tpu": pallas_tpu, "pallas_gpu": pallas_gpu}
FOR_PLATFORM = {"tpu": "pallas_tpu", "gpu": "pallas_gpu"}
FEW = (
    2**22
)  # logits: so many are held anyway, and plain operations on them have both derivative modes
SMALLEST = 1024  # columns: a smaller vocabulary fills no block of an accelerator's kernel


def token_stats(
    logits: jax.Array,
    tokens: jax.Array,
    *,
    temperature: float = 1.0,
    implementation: str | None = None,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
    interpret: bool = False,
) -> TokenStats:
    """Computes log-probability, logsumexp, entropy and unit polarity of `tokens`; see
    `reference.token_stats`.

    Differentiable in `logits` through log-probability, logsumexp and entropy; unit polarity is a
    signal with gradient zero. Forward mode (`jax.jvp`) goes through "reference".

    Args:
      logits: [..., V] of any float dtype; -inf is outside the support.
      tokens: [...] integers.
      temperature: tau > 0; no gradient goes to it but by "reference".
      implementation: None (the best for the backend and the size) or a name in this module's table.
      mask: [...] boolean; where it is false, the statistics and the gradient are 0.
      vocabulary_size: columns from here on, a checkpoint's padding, are outside the support.
      axis_name: mesh axis over which the vocabulary is sharded, inside `jax.shard_map`; `logits` is
        this device's part, tokens and vocabulary_size speak of the whole.
      interpret: run a Pallas kernel in the interpreter, on any backend.

    Returns:
      `TokenStats` of shape [...], at least float32.

    Raises:
      AssertionError: if shapes or kinds do not fit.
      ValueError: if there is no such implementation of this form, or it cannot take what it is
        given.

    >>> print(token_stats(jnp.zeros((1, 8)), jnp.array([5])).entropy.round(4))  # log 8
    [2.0794]
    """
    reference.check(logits.shape[:-1], tokens, mask, temperature)
    name = choose(implementation, ("reference", *KERNELS), logits.shape[-1], (logits,), interpret)
    if implementation is None and name == "chunked" and logits.size <= FEW:
        name = "reference"
    given = dict(
        temperature=temperature, mask=mask, vocabulary_size=vocabulary_size, axis_name=axis_name
    )
    if name == "reference":
        return reference.token_stats(logits, tokens, **given)
    flat = jnp.asarray(logits).reshape(-1, logits.shape[-1])
    rows = rows_of(tokens, logits.shape[-1], wide(logits), **given)
    total = KERNELS[name].logits_sums(
        *varying_as((flat, rows), flat, rows), **_interpreted(interpret)
    )
    return _finished(total, rows, tokens.shape, axis_name)


def linear_token_stats(
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    *,
    temperature: float = 1.0,
    implementation: str | None = None,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
    interpret: bool = False,
) -> TokenStats:
    """Computes `token_stats` of the logits hidden @ unembedding^T without ever holding them.

    Differentiable in `hidden` and `unembedding` as `token_stats` is; forward mode goes through
    "forward".

    Args:
      hidden: [..., D].
      unembedding: [V, D].
      tokens: [...] integers.
      temperature, implementation, mask, vocabulary_size, axis_name, interpret: as in `token_stats`.
        With `axis_name`, `unembedding` is this device's part of the vocabulary and is never
        gathered. With `mask`, the work is that of the rows that are needed.

    Returns:
      `TokenStats` of shape [...], at least float32.

    Raises:
      AssertionError: if shapes or kinds do not fit.
      ValueError: if there is no such implementation of this form, or it cannot take what it is
        given.

    >>> print(
    ...     linear_token_stats(jnp.ones((1, 2)), jnp.zeros((4, 2)), jnp.array([3])).entropy.round(4)
    ... )
    [1.3863]
    """
    reference.check(hidden.shape[:-1], tokens, mask, temperature)
    known = ("reference", "forward", *KERNELS)
    name = choose(implementation, known, unembedding.shape[0], (hidden, unembedding), interpret)
    given = dict(
        temperature=temperature, mask=mask, vocabulary_size=vocabulary_size, axis_name=axis_name
    )
    if name in ("reference", "forward"):
        module = {"reference": reference, "forward": forward_mode}[name]
        return module.linear_token_stats(hidden, unembedding, tokens, **given)
    flat = jnp.asarray(hidden).reshape(-1, hidden.shape[-1])
    rows = rows_of(tokens, unembedding.shape[0], wide(hidden, unembedding), **given)
    order = None if mask is None else jnp.argsort(~rows.needed, stable=True)

    def gather(array):
        return array if order is None else array[order]

    # Rows that are needed first: an implementation leaves out whole blocks of the others.
    packed = rows._replace(tokens=gather(rows.tokens), needed=gather(rows.needed))
    operands = gather(flat), unembedding
    # Under a mesh, what the devices share gets its gradient summed over them.
    total = KERNELS[name].linear_sums(
        *varying_as((operands, packed), operands, packed), **_interpreted(interpret)
    )
    stats = _finished(total, packed, (-1,), axis_name)
    if order is not None:
        stats = jax.tree.map(
            lambda values: jnp.zeros_like(values).at[order].set(values, unique_indices=True), stats
        )
    return jax.tree.map(lambda values: values.reshape(tokens.shape), stats)


def choose(
    implementation: str | None,
    known: tuple[str, ...],
    vocabulary: int,
    operands: tuple[jax.Array, ...],
    interpret: bool,
) -> str:
    """Picks an implementation by backend and shape, or says why the one that was asked for cannot
    be had."""
    platform = target.current().platform
    double = wide(*operands) == jnp.float64
    if implementation is None:
        return (
            "chunked" if double or vocabulary < SMALLEST else FOR_PLATFORM.get(platform, "chunked")
        )
    if implementation not in known:
        raise ValueError(
            f"implementation {implementation!r} of the token statistics is none of {sorted(known)}"
        )
    if implementation.startswith("pallas") and double:
        raise ValueError(
            f"{implementation} computes in float32; float64 goes through reference, forward or chunked"
        )
    if (
        implementation.startswith("pallas")
        and not interpret
        and FOR_PLATFORM.get(platform) != implementation
    ):
        raise ValueError(
            f"{implementation} does not run on {platform}; use implementation=None or 'chunked', or interpret=True for a test"
        )
    if interpret and not implementation.startswith("pallas"):
        raise ValueError(
            f"interpret=True is for the Pallas implementations; {implementation} runs anywhere as it is"
        )
    return implementation


def rows_of(
    tokens: jax.Array,
    width: int,
    dtype,
    *,
    temperature,
    mask,
    vocabulary_size: int | None,
    axis_name: str | None,
) -> Rows:
    """Says what is asked of each token in terms of this device's part of the vocabulary, `width`
    columns."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * width
    size = jnp.iinfo(jnp.int32).max if vocabulary_size is None else vocabulary_size
    local = jnp.asarray(tokens, jnp.int32).reshape(-1) - first
    return Rows(
        tokens=jnp.where((local >= 0) & (local < width), local, -2),
        needed=jnp.ones(tokens.size, bool) if mask is None else jnp.asarray(mask).reshape(-1),
        limit=jnp.minimum(width, size - first).astype(jnp.int32),
        temperature=jax.lax.stop_gradient(jnp.asarray(temperature, dtype)),
    )


def _interpreted(interpret: bool) -> dict[str, bool]:
    """What only the Pallas implementations are asked: `choose` has refused it for any other."""
    return {"interpret": True} if interpret else {}


def _finished(
    total: sums.Sums, rows: Rows, shape: tuple[int, ...], axis_name: str | None
) -> TokenStats:
    stats = sums.finish(sums.across(total, axis_name, rows.temperature), rows)
    return jax.tree.map(lambda values: values.reshape(shape), stats)
