"""The policy as the learner sees it: token statistics and losses of teacher-forced sequences.

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
from papo_jax.learner import sharded_token_stats
from papo_jax.learner.batches import Trajectories, map_rows
from papo_jax.models import Params, lora


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["frozen", "reference"],
    meta_fields=["graph", "temperature", "mesh", "microbatch"],
)
@dataclasses.dataclass(frozen=True)
class PolicyScorer:
    """Everything about a policy but the parameters that are trained; a pytree of those it holds.

    Attributes:
      graph: of the policy.
      frozen: parameters that are not trained, {} where all are.
      reference: the trained parameters as they are in the reference policy of a KL term; None where
        there is none.
      temperature: the sampler's.
      mesh: that parameters and sequences are spread over; None for one device.
      microbatch: sequences that a pass holds at once; None for all.
    """

    graph: nnx.GraphDef
    frozen: Params = dataclasses.field(default_factory=dict)
    reference: Params | None = None
    temperature: float = 1.0
    mesh: Mesh | None = None
    microbatch: int | None = None

    def count_parts(self, sequences: int) -> int:
        """Returns how many slices some sequences are gone through in."""
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
          params: those that are trained.
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

    def token_loss(
        self,
        loss: Callable[[TokenStats, Any], jax.Array],
        params: Params,
        trajectories: Trajectories,
        mask: jax.Array,
        context: Any,
    ) -> tuple[jax.Array, TokenStats]:
        """Computes a loss that is a sum over tokens, its gradient made in the forward pass.

        Args:
          loss: as in `kernels.token_stats.linear_token_loss`.
          params: those that are trained.
          trajectories: B sequences.
          mask: [B, T] boolean, tokens of the loss.
          context: pytree of [B, T] arrays that `loss` is given.

        Returns:
          (loss [], `TokenStats` of shape [B, T] without gradient).
        """
        hidden, unembedding = self._hidden_and_unembedding(params, trajectories)
        return sharded_token_stats.token_loss(
            loss,
            hidden,
            unembedding,
            tokens=trajectories.tokens,
            mask=mask,
            context=context,
            temperature=self.temperature,
            mesh=self.mesh,
        )

    def _hidden_and_unembedding(self, params, trajectories) -> tuple[jax.Array, jax.Array]:
        """Runs the decoder: ([B, T, D] that predict the completion tokens, [V, D])."""
        model = nnx.merge(self.graph, lora.join_params(params, self.frozen))
        tokens = jnp.concatenate([trajectories.prompt_tokens, trajectories.tokens], axis=1)
        valid = jnp.concatenate([trajectories.prompt_valid, trajectories.valid], axis=1)
        before = trajectories.prompt_tokens.shape[1] - 1
        return model.compute_hidden_states(tokens, valid)[:, before:-1], model.unembedding_matrix()
