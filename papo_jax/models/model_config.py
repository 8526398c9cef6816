"""Configuration of a decoder of the Llama / Qwen family: plain numbers, no weights and no files."""

import dataclasses

from papo_jax.errors import InputError

REMAT_MODES = ("none", "dots", "full")
LORA_TARGETS = ("query", "key", "value", "output", "gate", "up", "down")  # what LoRA can adapt


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """Scaling of rotary frequencies for contexts longer than those of pretraining.

    `rope.rotary_frequencies` applies it.

    Attributes:
      kind: "linear", "llama3" or "yarn".
      factor: how many times longer the context becomes.
      original_positions: the context of pretraining, tokens (llama3, yarn).
      slow_factor, fast_factor: llama3's `low_freq_factor` and `high_freq_factor`: wavelengths above
        original_positions / slow_factor are stretched by the whole factor, those below
        original_positions / fast_factor not at all.
      fast_turns, slow_turns: yarn's `beta_fast` and `beta_slow`, turns within the original context.
      whole_numbers: yarn's `truncate`, the ramp begins and ends at whole dimensions.
      magnitude: yarn's `attention_factor`, a factor on cosine and sine.
    """

    kind: str
    factor: float
    original_positions: int = 0
    slow_factor: float = 1.0
    fast_factor: float = 4.0
    fast_turns: float = 32.0
    slow_turns: float = 1.0
    whole_numbers: bool = True
    magnitude: float = 1.0


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters: W x + (alpha / rank) B A x for each weight named in `targets`.

    Source: Hu et al. 2021, arXiv 2106.09685.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...] = LORA_TARGETS

    def __post_init__(self):
        if self.rank < 1:
            raise InputError(f"the rank of LoRA is {self.rank}; it must be at least 1")
        unknown = [name for name in self.targets if name not in LORA_TARGETS]
        if unknown or not self.targets or len(set(self.targets)) < len(self.targets):
            given = ", ".join(unknown or self.targets) or "none"
            raise InputError(
                f"LoRA targets must be some of {', '.join(LORA_TARGETS)}, each once, not {given}"
            )

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Architecture of a decoder, and how its computation is run.

    Attributes:
      architecture: Hugging Face's `model_type`; decides the names and defaults in `config.json`.
      vocabulary_size: V, rows of the embedding; may be more than the tokenizer has entries.
      width: D, the residual stream.
      layers: L, number of blocks.
      heads: query heads.
      kv_heads: key-value heads; divides `heads`.
      head_dim: width of a head; even, for the rotation.
      mlp_width: the inner width of SwiGLU.
      rope_theta: base of the rotary frequencies.
      rope_scaling: their scaling, or None.
      rotated: for each layer whether it rotates queries and keys; () if all do.
      window: how many tokens back a windowed layer sees, itself included; None if no layer is
        windowed.
      windowed: for each layer whether the window applies; () if it applies to all.
      norm_epsilon: added to the mean square in RMSNorm.
      tied: the output head is the embedding.
      qk_norm: RMSNorm over each query and key head.
      qkv_bias: biases on query, key and value.
      output_bias: bias on the attention's output.
      mlp_bias: biases on all three matrices of the MLP.
      max_positions: the longest sequence that the weights were made for, tokens.
      dtype: of the computation; parameters stay in the dtype that they are stored in.
      remat: what the backward pass computes again instead of storing: "none", "dots" (all but the
        results of attention and of matrix products with weights), or "full" (everything inside a
        block).
      lora: adapters beside the weights, or None.
    """

    architecture: str
    vocabulary_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    rotated: tuple[bool, ...] = ()
    window: int | None = None
    windowed: tuple[bool, ...] = ()
    norm_epsilon: float = 1e-6
    tied: bool = False
    qk_norm: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    max_positions: int = 2048
    dtype: str = "float32"
    remat: str = "none"
    lora: LoraConfig | None = None

    def __post_init__(self):
        if self.heads % self.kv_heads:
            raise InputError(
                f"config.json: {self.heads} attention heads are no multiple of {self.kv_heads}"
                " key-value heads"
            )
        if self.head_dim < 1 or self.head_dim % 2:
            raise InputError(
                f"config.json: head_dim {self.head_dim} is odd; rotary positions need an even one"
            )
        if self.remat not in REMAT_MODES:
            raise InputError(
                f"model.remat is {self.remat!r}; it must be one of {', '.join(REMAT_MODES)}"
            )
        for name in ("rotated", "windowed"):
            length = len(getattr(self, name))
            if length not in (0, self.layers):
                raise InputError(
                    f"config.json: {length} layers are said to be {name} or not, of {self.layers}"
                )
