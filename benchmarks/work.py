"""The work that every system does: a model, a rollout and an update of one size."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Work:
    """Sizes of an iteration, of a decoder with Qwen2's block and tied embeddings.

    Attributes:
      vocabulary: V.
      width: D, of the residual stream.
      layers: L.
      heads: query heads.
      kv_heads: key-value heads.
      head_dim: of a head.
      mlp_width: of the MLP.
      prompts: N.
      samples: G, of each prompt.
      prompt_tokens: of each prompt.
      new_tokens: of each answer; no answer ends early.
      temperature: of the sampling distribution.
      learning_rate: of AdamW.
    """

    vocabulary: int = 32768
    width: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    mlp_width: int = 768
    prompts: int = 4
    samples: int = 16
    prompt_tokens: int = 64
    new_tokens: int = 128
    temperature: float = 1.0
    learning_rate: float = 1e-5

    @property
    def sequences(self) -> int:
        """B."""
        return self.prompts * self.samples

    @property
    def floating_point_operations(self) -> float:
        """Multiplications and additions of matrix products that nobody can do without.

        A decode step multiplies each weight once a token; statistics are the sampler's; the update
        makes three products for each. Attention's own products are left out, they are few here.
        """
        attention = self.width * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        decoder = self.layers * (attention + 3 * self.width * self.mlp_width)
        head = self.vocabulary * self.width
        answers = self.sequences * self.new_tokens
        prefill = self.prompts * self.prompt_tokens
        tokens = answers + self.sequences * self.prompt_tokens
        rollout = 2 * (answers * (decoder + head) + prefill * decoder)
        return rollout + 6 * (tokens * decoder + answers * head)
