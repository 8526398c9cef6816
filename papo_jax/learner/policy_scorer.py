"""The policy as the learner uses it: token statistics and losses of teacher-forced sequences.

Shapes: B sequences, T completion slots, V vocabulary, D width.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from kernels.token_stats import TokenStats
from papo_jax import mesh_rules
from papo_jax.learner import sharded_token_stats
from papo_jax.learner.batches import Trajectories, map_rows
from papo_jax.learner.packing import PackedRows
from papo_jax.models import Params, lora
from papo_jax.models.transformer import place_tokens

# Tokens of a micro-batch of an update where the settings name no number: enough for a matrix
# product to be fast, and few enough that a last micro-batch that is not full costs little.
DEFAULT_TOKENS = (1536, 8192)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["frozen"],
    meta_fields=["graph", "temperature", "mesh", "microbatch", "microbatch_tokens"],
)
@dataclasses.dataclass(frozen=True)
class PolicyScorer:
    """A policy without the parameters that are trained, which each call is given.

    A pytree whose leaves are the other parameters, so that a jitted function takes a scorer as an
    argument.

    Attributes:
      graph: the model's graph definition.
      frozen: the parameters that are not trained, {} where all are.
      temperature: the sampler's.
      mesh: the mesh that parameters and sequences are spread over; None for one device.
      microbatch: the most sequences that one pass holds; None for all.
      microbatch_tokens: the most tokens that one pass of an update holds; None for a 32nd of the
        minibatch's slots, within `DEFAULT_TOKENS`.
    """

    graph: nnx.GraphDef
    frozen: Params = dataclasses.field(default_factory=dict)
    temperature: float = 1.0
    mesh: Mesh | None = None
    microbatch: int | None = None
    microbatch_tokens: int | None = None

    def count_bins(self, trajectories: Trajectories) -> int:
        """Returns M, the bins of a micro-batch of an update: a multiple of the mesh's parts."""
        rows = trajectories.tokens.shape[0]
        width = trajectories.prompt_tokens.shape[1] + trajectories.tokens.shape[1]
        fewest, most = DEFAULT_TOKENS
        tokens = self.microbatch_tokens or min(max(rows * width // 32, fewest), most)
        parts = 1 if self.mesh is None else mesh_rules.batch_parts(self.mesh)
        bins = min(tokens // width, self.microbatch or rows, rows)
        return max(bins // parts, 1) * parts

    def count_parts(self, sequences: int) -> int:
        """Returns the number of micro-batches that some sequences make."""
        return sequences // (self.microbatch or sequences)

    def map_microbatches(self, function: Callable, rows):
        """Applies a function to the micro-batches of some rows, [B, ...] -> [B, ...]."""
        return map_rows(function, self.count_parts(jax.tree.leaves(rows)[0].shape[0]), rows)

    def score(self, params: Params, trajectories: Trajectories) -> TokenStats:
        """Computes the token statistics of a whole rollout, [B, T], micro-batch by micro-batch."""
        return self.map_microbatches(functools.partial(self.token_stats, params), trajectories)

    def token_stats(
        self, params: Params, trajectories: Trajectories, *, implementation: str | None = None
    ) -> TokenStats:
        """Computes the token statistics of every completion slot under teacher forcing.

        Args:
          params: the trained parameters.
          trajectories: B sequences.
          implementation: of `kernels.token_stats.linear_token_stats`.

        Returns:
          `TokenStats` of shape [B, T], 0 where no action stands.
        """
        hidden, unembedding = self._hidden_and_unembedding(params, trajectories)
        return sharded_token_stats.token_stats(
            hidden,
            unembedding,
            trajectories.tokens,
            trajectories.action,
            temperature=self.temperature,
            implementation=implementation,
            mesh=self.mesh,
        )

    def packed_stats(self, params: Params, rows: PackedRows) -> TokenStats:
        """Computes the token statistics of packed rows, [R, W - 1], 0 outside their mask."""
        hidden, unembedding = self._run_packed(params, rows)
        return sharded_token_stats.token_stats(
            hidden,
            unembedding,
            rows.tokens[:, 1:],
            rows.mask,
            temperature=self.temperature,
            mesh=self.mesh,
        )

    def token_loss(
        self,
        loss: Callable[[TokenStats, Any], jax.Array],
        params: Params,
        rows: PackedRows,
        context: Any,
    ) -> tuple[jax.Array, TokenStats]:
        """Computes a loss that is a sum over tokens; the forward pass computes its gradient too.

        Args:
          loss: as in `kernels.token_stats.linear_token_loss`.
          params: the trained parameters.
          rows: R bins.
          context: pytree of [R, W - 1] arrays, the second argument of `loss`.

        Returns:
          (loss [], `TokenStats` of shape [R, W - 1] without gradient).
        """
        hidden, unembedding = self._run_packed(params, rows)
        return sharded_token_stats.token_loss(
            loss,
            hidden,
            unembedding,
            tokens=rows.tokens[:, 1:],
            mask=rows.mask,
            context=context,
            temperature=self.temperature,
            mesh=self.mesh,
        )

    def _run_packed(self, params: Params, rows: PackedRows) -> tuple[jax.Array, jax.Array]:
        """Runs the decoder: (hidden states that predict tokens[:, 1:] [R, W - 1, D], [V, D])."""
        if self.mesh is not None and self.mesh.size > 1:
            rows = jax.lax.with_sharding_constraint(rows, mesh_rules.batch_sharding(self.mesh))
        model = nnx.merge(self.graph, lora.join_params(params, self.frozen))
        hidden = model.compute_hidden_states(rows.tokens, rows.places)[:, :-1]
        return hidden, model.unembedding_matrix()

    def _hidden_and_unembedding(self, params, trajectories) -> tuple[jax.Array, jax.Array]:
        """Runs the decoder: (hidden states that predict the completion [B, T, D], [V, D])."""
        model = nnx.merge(self.graph, lora.join_params(params, self.frozen))
        tokens = jnp.concatenate([trajectories.prompt_tokens, trajectories.tokens], axis=1)
        valid = jnp.concatenate([trajectories.prompt_valid, trajectories.valid], axis=1)
        last_prompt_slot = trajectories.prompt_tokens.shape[1] - 1  # predicts the first token
        hidden = model.compute_hidden_states(tokens, place_tokens(valid))[:, last_prompt_slot:-1]
        return hidden, model.unembedding_matrix()
