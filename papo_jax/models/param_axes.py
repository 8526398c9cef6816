"""Logical axes of parameters by name; `papo_jax.mesh_rules` maps them to mesh axes."""

from papo_jax.models.model_config import LORA_TARGETS

# Parameter name -> logical axes, without the leading "layers" of a stacked block.
_AXES = {
    "embedding": ("vocabulary", "width"),
    "unembedding": ("vocabulary", "width"),
    "scale": (None,),
    "query": ("width", "heads", None),
    "key": ("width", "kv_heads", None),
    "value": ("width", "kv_heads", None),
    "output": ("heads", None, "width"),
    "query_bias": ("heads", None),
    "key_bias": ("kv_heads", None),
    "value_bias": ("kv_heads", None),
    "output_bias": (None,),
    "gate": ("width", "mlp"),
    "up": ("width", "mlp"),
    "down": ("mlp", "width"),
    "gate_bias": ("mlp",),
    "up_bias": ("mlp",),
    "down_bias": (None,),
}
ADAPTER_SUFFIXES = ("_lora_in", "_lora_out")  # of the names of LoRA's A and B
NUM_INPUT_AXES = {"output": 2}  # of a weight; everywhere else the first is the only one


def _make_adapter_axes() -> dict[str, tuple[str | None, ...]]:
    """Returns the same table for A [..inputs, rank] and B [rank, ..outputs] of LoRA's targets."""
    axes = {}
    inward, outward = ADAPTER_SUFFIXES
    for name in LORA_TARGETS:
        inputs = NUM_INPUT_AXES.get(name, 1)
        axes[name + inward] = (*_AXES[name][:inputs], None)
        axes[name + outward] = (None, *_AXES[name][inputs:])
    return axes


LOGICAL_AXES = _AXES | _make_adapter_axes()
