"""Supervised updates on demonstrations: the warm start of a policy, by the learner's own update.

Shapes: B sequences, P prompt slots, T completion slots.
"""

import jax
import jax.numpy as jnp
import optax

from papo_jax.learner.batches import Trajectories, UpdateBatch
from papo_jax.learner.gradients import Metrics
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import TrainState
from papo_jax.learner.update import update_minibatch
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, log_likelihood, token_mean

LIKELIHOOD = Method(Objective(log_likelihood, token_mean), name="likelihood")


def update_on_demonstrations(
    state: TrainState,
    tokens: jax.Array,
    valid: jax.Array,
    scorer: PolicyScorer,
    *,
    optimizer: optax.GradientTransformation,
    prompt_slots: int,
) -> tuple[TrainState, Metrics]:
    """Makes one optimizer step along the mean log-probability of the completions' tokens.

        L = -1/N sum_t log p(y_t)

    Args:
      state: from `learner.state.init_state`, or the last call.
      tokens: [B, P + T] int32, prompts padded on the left and completions on the right.
      valid: [B, P + T] boolean, true where a token stands.
      scorer: of the policy.
      optimizer: whose state `state` holds.
      prompt_slots: P.

    Returns:
      (new state, metrics): "loss" in nats a token.
    """
    batch = make_demonstration_batch(tokens, valid, prompt_slots=prompt_slots)
    return update_minibatch(
        state,
        batch,
        jax.random.wrap_key_data(state.key),
        scorer,
        method=LIKELIHOOD,
        optimizer=optimizer,
        max_new_tokens=batch.loss_mask.shape[1],
    )


def make_demonstration_batch(
    tokens: jax.Array, valid: jax.Array, *, prompt_slots: int
) -> UpdateBatch:
    """Makes what an update reads of demonstrations: every token of a completion with A = 1."""
    drawn = valid[:, prompt_slots:]
    zeros = jnp.zeros(drawn.shape, jnp.float32)
    return UpdateBatch(
        trajectories=Trajectories(
            prompt_tokens=tokens[:, :prompt_slots],
            prompt_valid=valid[:, :prompt_slots],
            tokens=tokens[:, prompt_slots:],
            valid=drawn,
            action=drawn,
        ),
        old_logprob=zeros,
        reference_logprob=zeros,
        weighted_advantages=zeros + 1.0,
        loss_mask=drawn,
        polarity=zeros,
        sequences=jnp.arange(tokens.shape[0], dtype=jnp.int32),
        accuracy=jnp.ones(tokens.shape[0], jnp.float32),
    )
