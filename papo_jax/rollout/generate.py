"""Generation of completions: one prefill for all samples of a prompt, then token by token.

Shapes: N prompts, G samples a prompt, B = N G sequences, P prompt slots (padded on the left), T
completion slots.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from kernels.token_stats import TokenStats
from papo_jax.mesh_rules import Array
from papo_jax.models import kv_cache
from papo_jax.models.kv_cache import KVCache
from papo_jax.rollout import sampling

PAD = 0  # in slots that hold no token; no result depends on its value
_OCCURRENCES = np.uint32(2**31)  # above every identifier and every sample's number


class Prompts(NamedTuple):
    """Encoded prompts.

    Attributes:
      tokens: [N, P] int32, padded on the left.
      valid: [N, P] boolean, false on padding.
      identifiers: [N] int32, of the problems; the keys of a prompt's samples are folded from its
        identifier, not from its index in the batch.
      occurrences: [N] int32, how often the same problem comes before this row; folded into the keys
        too, so that a problem that comes twice is answered twice. None for no repetition.
    """

    tokens: Array
    valid: Array
    identifiers: Array
    occurrences: Array | None = None


class Completions(NamedTuple):
    """Tokens that the policy generated.

    Attributes:
      tokens: [B, T] int32, the stop token included, `PAD` after it.
      action: [B, T] boolean, true on tokens that the policy drew.
      stats: `TokenStats` [B, T] under the distribution that each token was drawn from, of the
        logits that it was drawn from; 0 where no action stands.
      truncated: [B] boolean, true where no stop token came within T tokens.
    """

    tokens: jax.Array
    action: jax.Array
    stats: TokenStats
    truncated: jax.Array


class _LoopState(NamedTuple):
    """State of the generation loop.

    Attributes:
      position: [] int32, the completion slot of the next token.
      hidden: [B, D], the hidden states that predict it.
      cache: of all tokens before it.
      running: [B] boolean, false once a row has drawn a stop token.
      completions: so far; a row counts as truncated until it draws a stop token.
    """

    position: jax.Array
    hidden: jax.Array
    cache: KVCache
    running: jax.Array
    completions: Completions


def generate(
    graph: nnx.GraphDef,
    params,
    prompts: Prompts,
    key: jax.Array,
    *,
    samples: int,
    max_new_tokens: int,
    stop_tokens: tuple[int, ...],
    temperature: float = 1.0,
) -> Completions:
    """Draws `samples` completions of each prompt.

    Pure; jit it with the graph and the keyword arguments static. The key of a token is
    fold_in(fold_in(fold_in(key, identifier), sample), position), so a sample does not change when
    the batch is laid out in another way. Where a problem comes again its occurrence is folded in
    after the identifier.

    Args:
      graph: of the policy.
      params: of the policy.
      prompts: N prompts.
      key: the rollout's PRNG key.
      samples: G.
      max_new_tokens: T, the longest completion, tokens.
      stop_tokens: tokens that end a completion.
      temperature: tau > 0 of the sampling distribution; 0 takes the likeliest token instead.

    Returns:
      `Completions` of B = N G sequences, the samples of one prompt side by side.
    """
    model = nnx.merge(graph, params)

    # Prefill each prompt once; all of its samples start from its cache and its last hidden state.
    empty_cache = kv_cache.init_cache(model.config, *prompts.tokens.shape)
    hidden, cache = model.append_to_cache(prompts.tokens, prompts.valid, empty_cache)
    cache = kv_cache.add_slots(kv_cache.repeat_rows(cache, samples), max_new_tokens)
    rows = prompts.tokens.shape[0] * samples
    sequence_keys = _fold_sequence_keys(key, prompts, samples)
    stops = jnp.array(stop_tokens, jnp.int32)

    def draw_tokens(hidden, position):
        """Draws each row's next token; returns it with its statistics."""
        logits = jnp.einsum(
            "bd,vd->bv", hidden, model.unembedding_matrix(), preferred_element_type=jnp.float32
        )
        if temperature == 0:
            return sampling.take_likeliest_tokens(logits)
        keys = jax.vmap(jax.random.fold_in, (0, None))(sequence_keys, position)
        return sampling.sample_tokens(keys, logits, temperature=temperature)

    def decode_step(state: _LoopState) -> _LoopState:
        position, running, completions = state.position, state.running, state.completions

        # Draw a token in every row and keep those of rows that have not stopped.
        tokens, stats = draw_tokens(state.hidden, position)
        tokens = jnp.where(running, tokens, PAD)
        completions = Completions(
            tokens=completions.tokens.at[:, position].set(tokens),
            action=completions.action.at[:, position].set(running),
            stats=jax.tree.map(
                lambda kept, drawn: kept.at[:, position].set(jnp.where(running, drawn, 0.0)),
                completions.stats,
                stats,
            ),
            truncated=running & ~(tokens[:, None] == stops[None]).any(axis=1),
        )

        # Compute the hidden states of the next position.
        hidden, cache = model.append_to_cache(tokens[:, None], running[:, None], state.cache)
        return _LoopState(
            position=position + 1,
            hidden=hidden[:, 0],
            cache=cache,
            running=completions.truncated,  # the rows that have drawn no stop token yet
            completions=completions,
        )

    # Decode until every row has stopped.
    def is_unfinished(state: _LoopState) -> jax.Array:
        return (state.position < max_new_tokens) & state.running.any()

    # Start with every row running and no token drawn.
    empty = _init_completions(rows, max_new_tokens)
    start = _LoopState(
        position=jnp.int32(0),
        hidden=jnp.repeat(hidden[:, -1], samples, axis=0),
        cache=cache,
        running=empty.truncated,
        completions=empty,
    )
    return jax.lax.while_loop(is_unfinished, decode_step, start).completions


def _init_completions(rows: int, slots: int) -> Completions:
    """Returns [rows, slots] completions without tokens."""
    return Completions(
        tokens=jnp.full((rows, slots), PAD, jnp.int32),
        action=jnp.zeros((rows, slots), bool),
        stats=TokenStats(*[jnp.zeros((rows, slots), jnp.float32)] * 4),
        truncated=jnp.ones((rows,), bool),
    )


def _fold_sequence_keys(key: jax.Array, prompts: Prompts, samples: int) -> jax.Array:
    """Folds the keys of N G sequences from identifiers, occurrences and numbers of samples."""

    def fold_samples(prompt_key):
        return jax.vmap(jax.random.fold_in, (None, 0))(prompt_key, jnp.arange(samples))

    def fold_prompt(identifier, occurrence):
        first = jax.random.fold_in(key, identifier)
        # Beyond the numbers of samples, whose keys are folded from `first` too.
        again = jax.random.fold_in(first, _OCCURRENCES + occurrence.astype(jnp.uint32))
        return jnp.where(occurrence > 0, again, first)

    occurrences = prompts.occurrences
    if occurrences is None:
        occurrences = jnp.zeros_like(prompts.identifiers)
    prompt_keys = jax.vmap(fold_prompt)(prompts.identifiers, occurrences)
    return jax.vmap(fold_samples)(prompt_keys).reshape(-1)
