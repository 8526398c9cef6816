"""Small models of transformers with random weights: every family and every optional field.

Shapes: B rows, T time, V vocabulary. Weights are rounded to bfloat16, so that both precisions read
the same numbers, and are so large that attention is far from uniform and logits differ by about
one. transformers begins with biases of 0 and norms of 1, under which a forgotten one would not
show: they are drawn as well.
"""

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity with transformers: pip install -r requirements-parity.txt"
)

import transformers  # noqa: E402

from experiments.pretrain import character_tokenizer  # noqa: E402

# On models this small threads mostly wait for each other: one is up to 40 times faster.
torch.set_num_threads(1)

SHAPE = dict(
    vocab_size=100,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=96,
    max_position_embeddings=256,
    tie_word_embeddings=False,
    bos_token_id=None,
    eos_token_id=1,
    pad_token_id=None,
)


def rope_fields(kind: str, **fields) -> dict:
    """Returns fields of a rotary scaling.

    At base 10000 and 16 dimensions a head, each kind stretches some of 8 pairs.
    """
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **fields}}


YARN = dict(factor=4.0, original_max_position_embeddings=64)
LLAMA3 = dict(
    factor=4.0, original_max_position_embeddings=64, low_freq_factor=1.0, high_freq_factor=4.0
)
WINDOW = dict(use_sliding_window=True, sliding_window=5)

# Name -> (model_type, what differs from `SHAPE`).
CASES = {
    "llama": ("llama", dict(num_key_value_heads=4)),
    "llama-grouped": ("llama", {}),
    "llama-head_dim": ("llama", dict(head_dim=24)),
    "llama-attention_bias": ("llama", dict(attention_bias=True)),
    "llama-mlp_bias": ("llama", dict(mlp_bias=True)),
    "llama-tied": ("llama", dict(tie_word_embeddings=True)),
    "llama-rms_norm_eps": ("llama", dict(rms_norm_eps=0.05)),
    "llama-pretraining_tp": ("llama", dict(pretraining_tp=2)),
    "llama-more_rows_than_tokens": ("llama", dict(vocab_size=128)),
    "llama-rope_theta": ("llama", rope_fields("default", rope_theta=500.0)),
    "llama-linear": ("llama", rope_fields("linear", factor=4.0)),
    "llama-llama3": ("llama", rope_fields("llama3", **LLAMA3)),
    "llama-yarn": ("llama", rope_fields("yarn", **YARN)),
    "llama-yarn-attention_factor": ("llama", rope_fields("yarn", **YARN, attention_factor=1.3)),
    "llama-yarn-mscale": ("llama", rope_fields("yarn", **YARN, mscale=2.0, mscale_all_dim=0.5)),
    "llama-yarn-mscale_alone": ("llama", rope_fields("yarn", **YARN, mscale=2.0)),
    "llama-yarn-betas-no_truncate": (
        "llama",
        rope_fields("yarn", **YARN, beta_fast=4.0, beta_slow=0.5, truncate=False),
    ),
    "mistral": ("mistral", dict(sliding_window=None)),
    "mistral-wide_window": ("mistral", {}),
    "mistral-window": ("mistral", dict(sliding_window=5)),
    "mistral-head_dim": ("mistral", dict(sliding_window=None, head_dim=24)),
    "qwen2": ("qwen2", {}),
    "qwen2-tied": ("qwen2", dict(tie_word_embeddings=True)),
    "qwen2-window": ("qwen2", dict(**WINDOW, max_window_layers=1)),
    "qwen2-yarn": ("qwen2", rope_fields("yarn", **YARN)),
    "qwen3": ("qwen3", dict(head_dim=16)),
    "qwen3-head_dim-tied": ("qwen3", dict(head_dim=24, tie_word_embeddings=True)),
    "qwen3-attention_bias": ("qwen3", dict(head_dim=16, attention_bias=True)),
    "qwen3-window": ("qwen3", dict(head_dim=16, **WINDOW, max_window_layers=0)),
    "qwen3-layer_types": (
        "qwen3",
        dict(head_dim=16, **WINDOW, layer_types=["sliding_attention", "full_attention"]),
    ),
    "smollm3": ("smollm3", dict(num_hidden_layers=5, tie_word_embeddings=True)),
    "smollm3-no_rope_layers": ("smollm3", dict(no_rope_layers=[0, 1])),
    "smollm3-no_rope_layer_interval": ("smollm3", dict(no_rope_layer_interval=2)),
    "smollm3-attention_bias": ("smollm3", dict(no_rope_layers=[1, 0], attention_bias=True)),
    "smollm3-mlp_bias": ("smollm3", dict(no_rope_layers=[1, 0], mlp_bias=True)),
    "smollm3-window": ("smollm3", dict(no_rope_layers=[1, 0], **WINDOW)),
    "smollm3-yarn": ("smollm3", dict(no_rope_layers=[1, 0], **rope_fields("yarn", **YARN))),
}


def build_model(name: str, directory=None, *, gentle: bool = False, **changes):
    """Draws the weights of a case and writes them as transformers does.

    Args:
      name: one of `CASES`.
      directory: where the checkpoint and a tokenizer are written, or None.
      gentle: blocks that change the residual stream by a part of it, as trained ones do, instead of
        replacing it; so the roundings of bfloat16 are not blown up from block to block.
      changes: further fields of the config.

    Returns:
      The model of PyTorch, in float32.
    """
    family, fields = CASES[name]
    config = transformers.AutoConfig.for_model(family, **{**SHAPE, **fields, **changes})
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager"
    ).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for label, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=random)
            deviation = _weight_deviation(label, gentle, config.tie_word_embeddings)
            weight.copy_((("norm" in label) + deviation * drawn).bfloat16())
    if directory is not None:
        model.save_pretrained(directory)
        character_tokenizer().save_pretrained(directory)
    return model


def _weight_deviation(label: str, gentle: bool, tied: bool) -> float:
    """Returns the standard deviation of a weight."""
    if "norm" in label or label.endswith("bias"):
        return 0.3
    if not gentle:
        return 0.15
    embedding = 0.08 if tied else 0.5
    if "embed_tokens" in label:
        return embedding
    if "o_proj" in label or "down_proj" in label:
        return 0.05 * embedding
    return 0.07 if "layers" in label else 0.1


def make_batch() -> tuple[np.ndarray, np.ndarray]:
    """Returns (tokens, valid) [5, 24]: a row without padding, two with it on each side."""
    tokens = np.random.default_rng(0).integers(3, 100, (5, 24)).astype(np.int32)
    valid = np.ones((5, 24), bool)
    valid[1, :7], valid[2, :15], valid[3, 20:], valid[4, 6:] = False, False, False, False
    return tokens, valid


def compute_their_logits(model, tokens: np.ndarray, valid: np.ndarray):
    """Returns the logits [B, T, V] of a model of PyTorch.

    Padding is left out of attention and of positions.
    """
    mask = torch.tensor(valid)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return model(
        input_ids=torch.tensor(tokens).long(),
        attention_mask=mask.long(),
        position_ids=positions,
        use_cache=False,
    ).logits
