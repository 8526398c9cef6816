"""Entry points of the token statistics, and the choice of an implementation.

| name | logits in memory | derivatives | runs on |
|---|---|---|---|
| "reference" | all | both modes | anything; the default for few logits that are in memory already |
| "forward" (linear form only) | a chunk | both modes | anything |
| "chunked" | a tile | reverse | anything; the default except on TPU and GPU |
| "pallas_tpu" | a tile, on chip | reverse | TPU, and the interpreter |
| "pallas_gpu" | a tile, on chip | reverse | NVIDIA GPU, and the interpreter |
"""

from typing import Any

import jax
import jax.numpy as jnp

from kernels.token_stats import chunked, forward_mode, pallas_gpu, pallas_tpu, reference
from kernels.token_stats.platform import get_target_device
from kernels.token_stats.reference import TokenStats, stats_dtype
from kernels.token_stats.sums import VocabularySums, all_reduce_sums, to_token_stats
from kernels.token_stats.token_rows import TokenRows, make_token_rows
from kernels.token_stats.varying_axes import mark_varying

ONE_PASS_MODULES = {"chunked": chunked, "pallas_tpu": pallas_tpu, "pallas_gpu": pallas_gpu}
KERNEL_OF_PLATFORM = {"tpu": "pallas_tpu", "gpu": "pallas_gpu"}
# Logits up to which `token_stats` prefers "reference": so few fit in memory anyway, and plain
# operations on them have both derivative modes.
MAX_REFERENCE_LOGITS = 2**22
MIN_KERNEL_VOCABULARY = 1024  # columns; fewer do not fill a block of an accelerator's kernel


def token_stats(
    logits: jax.Array,
    tokens: jax.Array,
    *,
    temperature: jax.Array | float = 1.0,
    implementation: str | None = None,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
    interpret: bool = False,
) -> TokenStats:
    """Computes log-probability, logsumexp, entropy and unit polarity of `tokens`.

    `reference.token_stats` has the formulas. Differentiable in `logits` through log-probability,
    logsumexp and entropy; unit polarity is a signal with gradient zero. Forward mode (`jax.jvp`)
    needs "reference".

    Args:
      logits: [..., V] of any float dtype; -inf is outside the support.
      tokens: [...] integers.
      temperature: tau > 0; only "reference" has a gradient in it.
      implementation: None (the best for the backend and the size) or a name in this module's table.
      mask: [...] boolean; where it is false, the statistics and the gradient are 0.
      vocabulary_size: the columns that are tokens; those beyond, a checkpoint's padding, are
        outside the support. None for all V.
      axis_name: mesh axis over which the vocabulary is sharded, inside `jax.shard_map`; `logits` is
        this device's shard, while `tokens` and `vocabulary_size` refer to the whole vocabulary.
      interpret: run a Pallas kernel in the interpreter, on any backend.

    Returns:
      `TokenStats` of shape [...], at least float32.

    Raises:
      AssertionError: if shapes or dtypes do not fit.
      ValueError: if this form has no such implementation, or the implementation cannot take the
        arguments.

    >>> print(token_stats(jnp.zeros((1, 8)), jnp.array([5])).entropy.round(4))  # log 8
    [2.0794]
    """
    # Choose the implementation.
    reference.check_inputs(logits.shape[:-1], tokens, mask, temperature)
    name = choose_implementation(
        implementation,
        known=("reference", *ONE_PASS_MODULES),
        vocabulary=logits.shape[-1],
        operands=(logits,),
        interpret=interpret,
    )
    if implementation is None and name == "chunked" and logits.size <= MAX_REFERENCE_LOGITS:
        name = "reference"
    options: dict[str, Any] = dict(
        temperature=temperature, mask=mask, vocabulary_size=vocabulary_size, axis_name=axis_name
    )
    if name == "reference":
        return reference.token_stats(logits, tokens, **options)

    # Sum over this device's columns, then over the devices. Under a mesh, what the devices share
    # gets its gradient summed over them.
    flat = jnp.asarray(logits).reshape(-1, logits.shape[-1])
    rows = make_token_rows(
        tokens, num_columns=logits.shape[-1], dtype=stats_dtype(logits), **options
    )
    inputs = mark_varying((flat, rows), flat, rows)
    sums = ONE_PASS_MODULES[name].logits_sums(*inputs, **_interpret_option(interpret))
    stats = _combine_shards(sums, rows, axis_name)
    return jax.tree.map(lambda values: values.reshape(tokens.shape), stats)


def linear_token_stats(
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    *,
    temperature: jax.Array | float = 1.0,
    implementation: str | None = None,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
    interpret: bool = False,
) -> TokenStats:
    """Computes `token_stats` of the logits hidden @ unembedding^T without ever holding them all.

    Differentiable in `hidden` and `unembedding` as `token_stats` is in the logits; forward mode
    needs "forward".

    Args:
      hidden: [..., D].
      unembedding: [V, D]; with `axis_name`, this device's shard of it, which is never gathered.
      tokens: [...] integers.
      temperature: as in `token_stats`; so are `implementation`, `vocabulary_size`, `axis_name` and
        `interpret`.
      mask: [...] boolean, as in `token_stats`; the one-pass implementations skip rows outside it.

    Returns:
      `TokenStats` of shape [...], at least float32.

    Raises:
      AssertionError: if shapes or dtypes do not fit.
      ValueError: if this form has no such implementation, or the implementation cannot take the
        arguments.

    >>> stats = linear_token_stats(jnp.ones((1, 2)), jnp.zeros((4, 2)), jnp.array([3]))
    >>> print(stats.entropy.round(4))  # log 4
    [1.3863]
    """
    # Choose the implementation.
    reference.check_inputs(hidden.shape[:-1], tokens, mask, temperature)
    name = choose_implementation(
        implementation,
        known=("reference", "forward", *ONE_PASS_MODULES),
        vocabulary=unembedding.shape[0],
        operands=(hidden, unembedding),
        interpret=interpret,
    )
    options: dict[str, Any] = dict(
        temperature=temperature, mask=mask, vocabulary_size=vocabulary_size, axis_name=axis_name
    )
    if name in ("reference", "forward"):
        module = {"reference": reference, "forward": forward_mode}[name]
        return module.linear_token_stats(hidden, unembedding, tokens, **options)

    # Put active rows first: an implementation skips whole blocks of inactive ones.
    flat = jnp.asarray(hidden).reshape(-1, hidden.shape[-1])
    dtype = stats_dtype(hidden, unembedding)
    rows = make_token_rows(tokens, num_columns=unembedding.shape[0], dtype=dtype, **options)
    order = None if mask is None else jnp.argsort(~rows.active, stable=True)

    def permute_rows(array):
        return array if order is None else array[order]

    rows = rows._replace(tokens=permute_rows(rows.tokens), active=permute_rows(rows.active))
    operands = permute_rows(flat), unembedding

    # Sum over this device's columns, then over the devices. Under a mesh, what the devices share
    # gets its gradient summed over them.
    inputs = mark_varying((operands, rows), operands, rows)
    sums = ONE_PASS_MODULES[name].linear_sums(*inputs, **_interpret_option(interpret))
    stats = _combine_shards(sums, rows, axis_name)

    def restore_order(values):
        return jnp.zeros_like(values).at[order].set(values, unique_indices=True)

    if order is not None:
        stats = jax.tree.map(restore_order, stats)
    return jax.tree.map(lambda values: values.reshape(tokens.shape), stats)


def choose_implementation(
    implementation: str | None,
    *,
    known: tuple[str, ...],
    vocabulary: int,
    operands: tuple[jax.Array, ...],
    interpret: bool,
) -> str:
    """Chooses an implementation by backend and shape, or checks the requested one.

    Args:
      implementation: the requested name, or None.
      known: names that the form has.
      vocabulary: columns on this device.
      operands: the arrays that make the logits.
      interpret: whether kernels run in the interpreter.

    Returns:
      A name in `known`.

    Raises:
      ValueError: if the requested implementation is unknown or cannot run here.
    """
    platform = get_target_device().platform
    float64 = stats_dtype(*operands) == jnp.float64
    if implementation is None:
        if float64 or vocabulary < MIN_KERNEL_VOCABULARY:
            return "chunked"
        return KERNEL_OF_PLATFORM.get(platform, "chunked")
    if implementation not in known:
        raise ValueError(
            f"implementation {implementation!r} of the token statistics is none of {sorted(known)}"
        )

    is_kernel = implementation.startswith("pallas")
    if is_kernel and float64:
        raise ValueError(
            f"{implementation} computes in float32;"
            " float64 goes through reference, forward or chunked"
        )
    if is_kernel and not interpret and KERNEL_OF_PLATFORM.get(platform) != implementation:
        raise ValueError(
            f"{implementation} does not run on {platform};"
            " use implementation=None or 'chunked', or interpret=True for a test"
        )
    if interpret and not is_kernel:
        raise ValueError(
            "interpret=True is for the Pallas implementations;"
            f" {implementation} runs anywhere as it is"
        )
    return implementation


def _interpret_option(interpret: bool) -> dict[str, bool]:
    """Returns the option that only kernels take: `choose_implementation` refuses it elsewhere."""
    return {"interpret": True} if interpret else {}


def _combine_shards(
    local_sums: VocabularySums, rows: TokenRows, axis_name: str | None
) -> TokenStats:
    return to_token_stats(all_reduce_sums(local_sums, axis_name, rows.temperature), rows)
