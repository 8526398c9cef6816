"""The scorer: each completion slot has the statistics of the state before it.

Shapes: B sequences, P prompt slots, T completion slots, V vocabulary.
"""

import jax
import numpy as np
import pytest

from papo_jax import models
from papo_jax.learner.policy_scorer import PolicyScorer
from tests.support.learning import compiled


@pytest.mark.parametrize("microbatch", [None, 4])
def test_statistics_are_those_of_the_distribution_that_the_token_was_drawn_from(
    policy, stored_rollout, microbatch
):
    """log p(y_t) and H come from the logits one slot earlier, in a forward pass of the whole."""
    scorer = PolicyScorer(policy.graph, microbatch=microbatch)
    found = jax.device_get(compiled(scorer.score)(policy.params, stored_rollout))

    sequences = stored_rollout
    tokens = np.concatenate([sequences.prompt_tokens, sequences.tokens], axis=1)
    valid = np.concatenate([sequences.prompt_valid, sequences.valid], axis=1)
    logits = np.asarray(models.logits(policy.graph, policy.params, tokens, valid), np.float64)
    logits = logits[:, sequences.prompt_tokens.shape[1] - 1 : -1]
    logprobs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    drawn = np.take_along_axis(logprobs, sequences.tokens[..., None], axis=-1)[..., 0]
    entropy = -(np.exp(logprobs) * logprobs).sum(axis=-1)

    action = sequences.action
    np.testing.assert_allclose(found.logprob[action], drawn[action], atol=1e-4)
    np.testing.assert_allclose(found.entropy[action], entropy[action], atol=1e-4)
    assert not found.logprob[~action].any() and not found.entropy[~action].any()
    # Neighboring states differ by far more than that.
    assert np.abs(np.diff(entropy)[action[:, 1:]]).mean() > 0.01
