"""Sampling completions: a prompt is read once for all of its samples, then one token at a time.

Shapes: N prompts, G samples a prompt, B = N G sequences, P prompt slots (padded on the left), T
completion slots.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from kernels.token_stats import token_stats
from papo_jax.models import kv_cache as caches
from papo_jax.rollout import sampling

PAD = 0  # what stands in slots that hold no token; no result depends on it


class Prompts(NamedTuple):
    """Encoded prompts.

    Attributes:
      tokens: [N, P] int32, padded on the left.
      valid: [N, P] boolean, false on padding.
      identifiers: [N] int32; the key of a prompt's samples is folded from it, not from its place in
        the batch.
    """

    tokens: jax.Array
    valid: jax.Array
    identifiers: jax.Array


class Completions(NamedTuple):
    """What the policy wrote.

    Attributes:
      tokens: [B, T] int32, the stop token included, `PAD` after it.
      mask: [B, T] boolean, true on tokens that the policy drew.
      logprob: [B, T] float32, log-probability under the sampling distribution, nats; 0 where the
        mask is false.
      truncated: [B] boolean, true where no stop token came before the limit.
    """

    tokens: jax.Array
    mask: jax.Array
    logprob: jax.Array
    truncated: jax.Array


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
    """Draws `samples` completions of every prompt; pure, to be jitted with the keyword arguments
    static.

    The key of a token is fold_in(fold_in(fold_in(key, identifier), sample), position), so a sample
    does not change when the batch is laid out in another way.

    Args:
      graph: of the policy.
      params: of the policy.
      prompts: N prompts.
      key: the rollout's PRNG key.
      samples: G.
      max_new_tokens: T, the limit on a completion.
      stop_tokens: tokens that end a completion.
      temperature: tau > 0 of the sampling distribution; 0 takes the likeliest token instead.

    Returns:
      `Completions` of B = N G sequences, the samples of one prompt side by side.
    """
    model = nnx.merge(graph, params)
    hidden, cache = model.cached(
        prompts.tokens, prompts.valid, caches.empty(model.config, *prompts.tokens.shape)
    )
    cache = caches.extend(caches.repeat(cache, samples), max_new_tokens)
    rows = prompts.tokens.shape[0] * samples
    sequence_keys = _sequence_keys(key, prompts.identifiers, samples)
    stops = jnp.array(stop_tokens, jnp.int32)

    def draw(hidden, position):
        logits = jnp.einsum("bd,vd->bv", hidden, model.head(), preferred_element_type=jnp.float32)
        if temperature == 0:
            tokens = sampling.greedy(logits)
        else:
            keys = jax.vmap(jax.random.fold_in, (0, None))(sequence_keys, position)
            tokens = sampling.sample(keys, logits, temperature=temperature)
        return tokens, token_stats(logits, tokens, temperature=temperature or 1.0).logprob

    def step(loop):
        position, hidden, cache, running, out = loop
        tokens, logprob = draw(hidden, position)
        tokens = jnp.where(running, tokens, PAD)
        out = Completions(
            tokens=out.tokens.at[:, position].set(tokens),
            mask=out.mask.at[:, position].set(running),
            logprob=out.logprob.at[:, position].set(jnp.where(running, logprob, 0.0)),
            truncated=running & ~(tokens[:, None] == stops[None]).any(axis=1),
        )
        hidden, cache = model.cached(tokens[:, None], running[:, None], cache)
        return position + 1, hidden[:, 0], cache, out.truncated, out

    def unfinished(loop):
        return (loop[0] < max_new_tokens) & loop[3].any()

    empty = Completions(
        tokens=jnp.full((rows, max_new_tokens), PAD, jnp.int32),
        mask=jnp.zeros((rows, max_new_tokens), bool),
        logprob=jnp.zeros((rows, max_new_tokens), jnp.float32),
        truncated=jnp.ones((rows,), bool),
    )
    last = jnp.repeat(hidden[:, -1], samples, axis=0)
    return jax.lax.while_loop(
        unfinished, step, (jnp.int32(0), last, cache, empty.truncated, empty)
    )[-1]


def _sequence_keys(key: jax.Array, identifiers: jax.Array, samples: int) -> jax.Array:
    """[N] identifiers -> [N G] keys."""
    of_prompt = jax.vmap(jax.random.fold_in, (None, 0))(key, identifiers)
    of_sample = jax.vmap(lambda k: jax.vmap(jax.random.fold_in, (None, 0))(k, jnp.arange(samples)))(
        of_prompt
    )
    return of_sample.reshape(-1)
