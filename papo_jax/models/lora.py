"""Adapters of low rank: attached to a policy, trained alone, merged into its weights again.

    y = W x + (alpha / rank) B A x,   A from the input to `rank` numbers, B from there to the output

Source: Hu et al. 2021, arXiv 2106.09685. With B = 0 the adapted policy is the base, so the base, adapters at their start,
is also the reference of a KL term and no second copy of the weights is held.

Parameters are nested dicts; `split` and `join` take them apart into what is trained and what is frozen.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from papo_jax import parallel
from papo_jax.models.architecture import TARGETS, Lora
from papo_jax.models.layers import ADAPTERS, LOGICAL_AXES
from papo_jax.models.policy import Params, Policy, abstract


_HUGGINGFACE = {
    "q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "output",
    "gate_proj": "gate", "up_proj": "up", "down_proj": "down",
}  # fmt: skip


def targets_of(text: str) -> tuple[str, ...]:
    """Reads names of weights, ours or Hugging Face's, joined by "+"; "all" stands for every one.

    >>> targets_of("q_proj+v_proj")
    ('query', 'value')
    """
    return TARGETS if text == "all" else tuple(_HUGGINGFACE.get(name, name) for name in text.split("+"))


def attach(policy: Policy, lora: Lora, key: jax.Array, *, mesh: Mesh | None = None) -> Policy:
    """Puts fresh adapters beside a policy's weights.

    Args:
      policy: the base; its arrays are shared, not copied.
      lora: rank, alpha and targets.
      key: of the draw of A, normal with variance 1 / input size; B is 0.
      mesh: that the policy lives on, or None.

    Returns:
      The `Policy`, whose adapters are float32 whatever its weights are held in; it computes what the base computes.
    """
    config = dataclasses.replace(policy.config, lora=lora)
    graph, shapes = abstract(config)
    trainable, _ = split(shapes, lora)
    shardings = parallel.param_shardings(mesh, trainable, LOGICAL_AXES) if mesh else None
    draw = jax.jit(lambda key: _draw(trainable, key), out_shardings=shardings)
    return dataclasses.replace(policy, config=config, graph=graph, params=join(draw(key), policy.params))


def merge(policy: Policy) -> Policy:
    """Adds the adapters into the weights: W + (alpha / rank) B A, in float32, rounded to what the weights are held in.

    Args:
      policy: with adapters or without.

    Returns:
      The `Policy` without adapters.
    """
    lora = policy.config.lora
    if lora is None:
        return policy
    config = dataclasses.replace(policy.config, lora=None)
    adapters, base = split(policy.params, lora)
    merged = {
        part: {
            name: _sum(name, weight, adapters["blocks"].get(part, {}), lora) if name in lora.targets else weight
            for name, weight in weights.items()
        }
        for part, weights in base["blocks"].items()
    }
    return dataclasses.replace(policy, config=config, graph=abstract(config)[0], params={**base, "blocks": merged})


def split(params: Params, lora: Lora | None) -> tuple[Params, Params]:
    """Takes parameters apart: (what is trained, what is frozen). Without adapters everything is trained.

    >>> split({"blocks": {"mlp": {"up": 1, "up_lora_in": 2}}}, Lora(1, 1.0))
    ({'blocks': {'mlp': {'up_lora_in': 2}}}, {'blocks': {'mlp': {'up': 1}}})
    """
    if lora is None:
        return params, {}
    is_adapter = lambda name: name.endswith(ADAPTERS)  # noqa: E731
    return _pick(params, is_adapter), _pick(params, lambda name: not is_adapter(name))


def join(first: Params, second: Params | None) -> Params:
    """Undoes `split`."""
    if not second:
        return first
    both = {**first, **second}
    for name in first.keys() & second.keys():
        both[name] = join(first[name], second[name])
    return both


def _pick(tree: Params, wanted) -> Params:
    """The leaves whose names are wanted, without the dicts that this empties."""
    picked = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            value = _pick(value, wanted)
            if value:
                picked[name] = value
        elif wanted(name):
            picked[name] = value
    return picked


def _draw(shapes: Params, key: jax.Array) -> Params:
    """Fresh adapters; the key of each is folded from its place in the sorted tree."""
    paths = {path: number for number, (path, _) in enumerate(jax.tree_util.tree_leaves_with_path(shapes))}

    def one(path, leaf):
        name = path[-1].key
        if name.endswith("_lora_out"):
            return jnp.zeros(leaf.shape, jnp.float32)
        inputs = 1  # leaf is [L, ..inputs, rank]
        for size in leaf.shape[1:-1]:
            inputs *= size
        return jax.random.normal(jax.random.fold_in(key, paths[path]), leaf.shape) / inputs**0.5

    return jax.tree_util.tree_map_with_path(one, shapes)


def _sum(name: str, weight: jax.Array, adapters: Params, lora: Lora) -> jax.Array:
    inward, outward = (adapters[f"{name}{end}"] for end in ADAPTERS)
    product = lambda a, b: jnp.tensordot(a, b, axes=1)  # noqa: E731
    layer = lambda w, a, b: (w.astype(jnp.float32) + lora.scale * product(a, b)).astype(w.dtype)  # noqa: E731
    return jax.jit(lambda *stacked: jax.lax.map(lambda args: layer(*args), stacked))(weight, inward, outward)
