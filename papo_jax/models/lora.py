"""Low-rank adapters: attached to a policy, trained alone, merged into its weights again.

    y = W x + (alpha / rank) B A x,   A from the input to `rank` numbers, B from there to the output

Source: Hu et al. 2021, arXiv 2106.09685. With B = 0 the adapted policy is the base, so the base,
with the adapters at their start, is also the reference of a KL term and no second copy of the
weights is needed.

Parameters are nested dicts; `split_params` and `join_params` separate the trained ones from the
frozen ones.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict
from jax.sharding import Mesh

from papo_jax import mesh_rules
from papo_jax.models.model_config import LORA_TARGETS, LoraConfig
from papo_jax.models.param_axes import ADAPTER_SUFFIXES, LOGICAL_AXES
from papo_jax.models.policy import Params, Policy, draw_params, flatten_params, make_abstract_model

_HUGGINGFACE_NAMES = {
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "output",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
}


def parse_lora_targets(text: str) -> tuple[str, ...]:
    """Parses names of weights, ours or Hugging Face's, joined by "+"; "all" names every one.

    >>> parse_lora_targets("q_proj+v_proj")
    ('query', 'value')
    """
    if text == "all":
        return LORA_TARGETS
    return tuple(_HUGGINGFACE_NAMES.get(name, name) for name in text.split("+"))


def attach_adapters(
    policy: Policy, lora: LoraConfig, key: jax.Array, *, mesh: Mesh | None = None
) -> Policy:
    """Adds fresh adapters beside a policy's weights.

    Args:
      policy: the base; its arrays are shared, not copied.
      lora: rank, alpha and targets.
      key: of the draw of A, normal with variance 1 / input size; B is 0.
      mesh: that the policy lives on, or None.

    Returns:
      The `Policy`, whose adapters are float32 whatever the dtype of its weights; it computes what
      the base computes.
    """
    config = dataclasses.replace(policy.config, lora=lora)
    graph, shapes = make_abstract_model(config)
    adapters, _ = split_params(shapes, lora)
    shardings = mesh_rules.param_shardings(mesh, adapters, LOGICAL_AXES) if mesh else None

    def draw_adapters(key):
        # The weights of this fresh model are not used, so the compiler leaves them out.
        return split_params(draw_params(config, key), lora)[0]

    adapters = jax.jit(draw_adapters, out_shardings=shardings)(key)
    params = join_params(adapters, policy.params)
    return dataclasses.replace(policy, config=config, graph=graph, params=params)


def merge_adapters(policy: Policy) -> Policy:
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

    adapters, weights = map(flatten_params, split_params(policy.params, lora))
    for *module, name in list(weights):
        if name in lora.targets:
            inward, outward = (adapters[*module, name + suffix] for suffix in ADAPTER_SUFFIXES)
            weight = weights[*module, name]
            weights[*module, name] = _add_product(weight, inward, outward, lora.scale)

    config = dataclasses.replace(policy.config, lora=None)
    graph, _ = make_abstract_model(config)
    return dataclasses.replace(policy, config=config, graph=graph, params=unflatten_dict(weights))


def split_params(params: Params, lora: LoraConfig | None) -> tuple[Params, Params]:
    """Splits parameters into (trained, frozen); without adapters all are trained.

    >>> split_params({"blocks": {"mlp": {"up": 1, "up_lora_in": 2}}}, LoraConfig(1, 1.0))
    ({'blocks': {'mlp': {'up_lora_in': 2}}}, {'blocks': {'mlp': {'up': 1}}})
    """
    if lora is None:
        return params, {}
    trained, frozen = {}, {}
    for path, leaf in flatten_params(params).items():
        (trained if path[-1].endswith(ADAPTER_SUFFIXES) else frozen)[path] = leaf
    return unflatten_dict(trained), unflatten_dict(frozen)


def join_params(trained: Params, frozen: Params | None) -> Params:
    """Undoes `split_params`."""
    return unflatten_dict({**flatten_params(trained), **flatten_params(frozen or {})})


@functools.partial(jax.jit, static_argnames="scale")
def _add_product(
    weight: jax.Array, inward: jax.Array, outward: jax.Array, scale: float
) -> jax.Array:
    """Adds scale B A to a stacked weight, layer by layer, in float32."""

    def add_in_layer(layer):
        weight, inward, outward = layer
        return weight.astype(jnp.float32) + scale * jnp.tensordot(inward, outward, axes=1)

    return jax.lax.map(add_in_layer, (weight, inward, outward))
