"""Packing: every real token has one place, in few bins, and each row is a sequence of its own.

Shapes: B rows, P prompt slots, T completion slots, W = P + T, R bins.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax.learner import packing
from papo_jax.learner.batches import Trajectories
from papo_jax.learner.policy_scorer import PolicyScorer
from tests.support.learning import compiled
from tests.support.seeds import make_rng

P, T = 5, 11


def make_rows(lengths, prompt_lengths):
    """Rows whose tokens are all different, so that a token says where it came from."""
    lengths, prompt_lengths = np.asarray(lengths), np.asarray(prompt_lengths)
    rows = len(lengths)
    prompt_valid = np.arange(P) >= P - prompt_lengths[:, None]
    valid = np.arange(T) < lengths[:, None]
    tokens = np.arange(1, 1 + rows * (P + T), dtype=np.int32).reshape(rows, -1)
    return Trajectories(
        prompt_tokens=jnp.asarray(np.where(prompt_valid, tokens[:, :P], 0)),
        prompt_valid=jnp.asarray(prompt_valid),
        tokens=jnp.asarray(np.where(valid, tokens[:, P:], 0)),
        valid=jnp.asarray(valid),
        action=jnp.asarray(valid),
    )


@pytest.fixture
def drawn():
    rng = make_rng(0)
    return make_rows(rng.integers(1, T + 1, 23), rng.integers(1, P + 1, 23))


def list_sequences(rows):
    """The real tokens of each row, prompt first."""
    tokens = np.concatenate([rows.prompt_tokens, rows.tokens], axis=1)
    valid = np.concatenate([rows.prompt_valid, rows.valid], axis=1)
    return [tokens[row][valid[row]].tolist() for row in range(len(tokens))]


@pytest.mark.parametrize("multiple", [1, 4])
def test_each_row_is_a_segment_in_order_and_no_token_is_lost(drawn, multiple):
    packed = packing.pack_rows(drawn, drawn.action, multiple=multiple)
    rows = jax.device_get(packing.pack_trajectories(packed, drawn, drawn.action))
    segments, positions = rows.places
    found = {}
    for bin_tokens, bin_segments, bin_positions in zip(
        rows.tokens, segments, positions, strict=True
    ):
        for segment in set(bin_segments.tolist()) - {0}:
            here = bin_segments == segment
            assert bin_positions[here].tolist() == list(range(here.sum()))
            assert segment - 1 not in found
            found[segment - 1] = bin_tokens[here].tolist()
    assert [found[row] for row in range(23)] == list_sequences(drawn)
    assert len(rows.tokens) % multiple == 0 and not segments[int(packed.used) :].any()


def test_arrays_go_to_their_tokens_and_come_back(drawn):
    packed = packing.pack_rows(drawn, drawn.action, multiple=2)
    rows = packing.pack_trajectories(packed, drawn, drawn.action)
    laid = packing.pack_arrays(packed, jnp.where(drawn.action, drawn.tokens, 0))
    # Beside the mask, a token's value is that of the token itself.
    np.testing.assert_array_equal(laid, np.where(rows.mask, rows.tokens[:, 1:], 0))
    np.testing.assert_array_equal(packing.unpack_arrays(packed, laid), drawn.tokens)


def test_rows_without_a_wanted_token_are_left_out(drawn):
    wanted = drawn.action & (jnp.arange(23) % 3 == 0)[:, None]
    packed = packing.pack_rows(drawn, wanted, multiple=1)
    rows = packing.pack_trajectories(packed, drawn, wanted)
    assert set(np.unique(rows.places.segments)) == {0, *range(1, 24, 3)}
    nothing = packing.pack_rows(drawn, jnp.zeros_like(wanted), multiple=1)
    assert int(nothing.used) == 0


@pytest.mark.parametrize("seed", range(3))
def test_padding_is_at_most_a_tenth_where_the_mean_is_a_quarter_of_the_limit(seed):
    """Of 64 and of 256 rows of geometric lengths, prompts included."""
    rng = make_rng(seed)
    for rows in (64, 256):
        lengths = np.clip(rng.geometric(1 / 256, rows), 1, 1024) + 32
        bins, _ = packing.fill_bins(jnp.asarray(lengths, jnp.int32), width=1024 + 32)
        used = int(bins.max()) + 1
        assert lengths.sum() >= 0.9 * used * (1024 + 32)


def test_bins_are_never_overfull():
    lengths = make_rng(1).integers(0, 17, 50)
    bins, offsets = (np.asarray(x) for x in packing.fill_bins(jnp.asarray(lengths), width=16 + 1))
    taken = np.zeros((50, 17), int)
    for chosen, offset, length in zip(bins, offsets, lengths, strict=True):
        taken[chosen, offset : offset + length] += 1
    assert taken.max() == 1 and taken.sum() == lengths.sum()


def test_packed_statistics_are_those_of_each_row_by_itself(policy, stored_rollout):
    scorer = PolicyScorer(policy.graph)
    alone = compiled(scorer.score)(policy.params, stored_rollout)

    def score_packed(params, rows):
        packed = packing.pack_rows(rows, rows.action, multiple=1)
        laid = packing.pack_trajectories(packed, rows, rows.action)
        return packing.unpack_arrays(packed, scorer.packed_stats(params, laid)), packed.used

    found, used = compiled(score_packed)(policy.params, stored_rollout)
    assert used < len(stored_rollout.tokens)  # some rows share a bin
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize(
    "microbatch, microbatch_tokens, bins",
    [(None, None, 16), (4, None, 4), (None, 40, 2), (None, 1, 1), (3, 160, 3)],
)
def test_bins_of_a_micro_batch(microbatch, microbatch_tokens, bins):
    rows = make_rows([T] * 16, [P] * 16)  # of 16 slots
    scorer = PolicyScorer(None, microbatch=microbatch, microbatch_tokens=microbatch_tokens)
    assert scorer.count_bins(rows) == bins
