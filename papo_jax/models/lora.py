"""Adapters of low rank: attached to a policy, trained alone, merged into its weights again.

    y = W x + (alpha / rank) B A x,   A from the input to `rank` numbers, B from there to the output

Source: Hu et al. 2021, arXiv 2106.09685. With B = 0 the adapted policy is the base, so the base,
adapters at their start, is also the reference of a KL term and no second copy of the weights is
held.

Parameters are nested dicts; `split` and `join` take them apart into what is trained and what is
frozen.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh

from papo_jax import parallel
from papo_jax.models.config import TARGETS, Lora
from papo_jax.models.layers import ADAPTERS, LOGICAL_AXES
from papo_jax.models.policy import Params, Policy, abstract, fresh

_HUGGINGFACE = {
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "output",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
}


def targets_of(text: str) -> tuple[str, ...]:
    """Reads names of weights, ours or Hugging Face's, joined by "+"; "all" stands for every one.

    >>> targets_of("q_proj+v_proj")
    ('query', 'value')
    """
    return (
        TARGETS
        if text == "all"
        else tuple(_HUGGINGFACE.get(name, name) for name in text.split("+"))
    )


def attach(policy: Policy, lora: Lora, key: jax.Array, *, mesh: Mesh | None = None) -> Policy:
    """Puts fresh adapters beside a policy's weights.

    Args:
      policy: the base; its arrays are shared, not copied.
      lora: rank, alpha and targets.
      key: of the draw of A, normal with variance 1 / input size; B is 0.
      mesh: that the policy lives on, or None.

    Returns:
      The `Policy`, whose adapters are float32 whatever its weights are held in; it computes what
      the base computes.
    """
    config = dataclasses.replace(policy.config, lora=lora)
    graph, shapes = abstract(config)
    adapters, _ = split(shapes, lora)
    shardings = parallel.param_shardings(mesh, adapters, LOGICAL_AXES) if mesh else None
    # The weights of this fresh model are not used, so the compiler leaves them out.
    draw = jax.jit(lambda key: split(fresh(config, key), lora)[0], out_shardings=shardings)
    return dataclasses.replace(
        policy, config=config, graph=graph, params=join(draw(key), policy.params)
    )


def merge(policy: Policy) -> Policy:
    """Adds the adapters into the weights: W + (alpha / rank) B A.

    Args:
      policy: with adapters or without.

    Returns:
      The `Policy` without adapters. Weights that had some are float32, since what training adds is
      often less than the rounding of bfloat16.
    """
    lora = policy.config.lora
    if lora is None:
        return policy
    config = dataclasses.replace(policy.config, lora=None)
    adapters, base = map(flatten_dict, split(policy.params, lora))
    for *place, name in list(base):
        if name in lora.targets:
            beside = (adapters[*place, f"{name}{end}"] for end in ADAPTERS)
            base[*place, name] = _sum(base[*place, name], *beside, lora.scale)
    return dataclasses.replace(
        policy, config=config, graph=abstract(config)[0], params=unflatten_dict(base)
    )


def split(params: Params, lora: Lora | None) -> tuple[Params, Params]:
    """Takes parameters apart: (what is trained, what is frozen). Without adapters everything is
    trained.

    >>> split({"blocks": {"mlp": {"up": 1, "up_lora_in": 2}}}, Lora(1, 1.0))
    ({'blocks': {'mlp': {'up_lora_in': 2}}}, {'blocks': {'mlp': {'up': 1}}})
    """
    if lora is None:
        return params, {}
    trained, frozen = {}, {}
    for path, leaf in flatten_dict(params).items():
        (trained if path[-1].endswith(ADAPTERS) else frozen)[path] = leaf
    return unflatten_dict(trained), unflatten_dict(frozen)


def join(first: Params, second: Params | None) -> Params:
    """Undoes `split`."""
    return unflatten_dict({**flatten_dict(first), **flatten_dict(second or {})})


@functools.partial(jax.jit, static_argnames="scale")
def _sum(weight: jax.Array, inward: jax.Array, outward: jax.Array, scale: float) -> jax.Array:
    def add(w, a, b):
        return w.astype(jnp.float32) + scale * jnp.tensordot(a, b, axes=1)

    return jax.lax.map(lambda layer: add(*layer), (weight, inward, outward))
