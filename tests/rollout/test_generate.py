"""Generation on a small random model: draws, their probabilities, and their independence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from kernels.token_stats import token_stats
from papo_jax import models
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.policy import make_abstract_model
from papo_jax.rollout.generate import PAD, Completions, Prompts, _fold_sequence_keys, generate
from tests.support.seeds import make_key, make_rng

CONFIG = ModelConfig(
    "qwen3",
    vocabulary_size=19,
    width=16,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=6,
    mlp_width=24,
    tied=True,
    qk_norm=True,
)
PROMPTS, SLOTS, SAMPLES, MAX_NEW_TOKENS = 4, 6, 4, 12
STOPS = (3, 11)

full_logits = jax.jit(models.logits, static_argnums=0)
compiled = jax.jit(
    generate,
    static_argnums=0,
    static_argnames=("samples", "max_new_tokens", "stop_tokens", "temperature"),
)


@functools.cache
def make_model():
    graph, shapes = make_abstract_model(CONFIG)
    rng = make_rng(1)
    return graph, jax.tree.map(
        lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), shapes
    )


def make_prompts():
    """Prompts of 6, 5, 3 and 1 tokens, padded on the left with something that is not `PAD`."""
    valid = np.arange(SLOTS)[None] >= np.array([[0], [1], [3], [5]])
    tokens = np.where(valid, make_rng(2).integers(0, 19, valid.shape), 7).astype(np.int32)
    return Prompts(tokens, valid, np.array([40, 10, 30, 20], np.int32))


def run_generate(prompts=None, *, seed=0, temperature=1.0) -> Completions:
    out = compiled(
        *make_model(),
        make_prompts() if prompts is None else prompts,
        make_key(seed),
        samples=SAMPLES,
        max_new_tokens=MAX_NEW_TOKENS,
        stop_tokens=STOPS,
        temperature=temperature,
    )
    return jax.tree.map(np.asarray, out)


def full_forward_logits(out):
    """The logits of a full forward that predict each completion token, [B, T, V]."""
    prompts = make_prompts()
    tokens = np.concatenate([np.repeat(prompts.tokens, SAMPLES, axis=0), out.tokens], axis=1)
    valid = np.concatenate([np.repeat(prompts.valid, SAMPLES, axis=0), out.action], axis=1)
    return full_logits(*make_model(), tokens, valid)[:, SLOTS - 1 : -1]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_statistics_are_those_of_the_full_forward(temperature):
    out = run_generate(temperature=temperature)
    exact = token_stats(full_forward_logits(out), out.tokens, temperature=temperature)
    for name, values in out.stats._asdict().items():
        expected = np.asarray(getattr(exact, name))
        np.testing.assert_allclose(values[out.action], expected[out.action], atol=1e-4)
        assert values.dtype == np.float32
    assert (out.stats.logprob <= 0).all()


def test_shape_of_completions():
    out = run_generate()
    lengths = out.action.sum(axis=1)
    shape = (PROMPTS * SAMPLES, MAX_NEW_TOKENS)
    assert out.tokens.shape == out.action.shape == shape
    assert all(values.shape == shape for values in out.stats)
    assert out.tokens.dtype == np.int32 and out.action.dtype == out.truncated.dtype == bool
    # Contiguous, from the start.
    np.testing.assert_array_equal(out.action, np.arange(MAX_NEW_TOKENS)[None] < lengths[:, None])
    assert (lengths >= 1).all()
    assert (out.tokens[~out.action] == PAD).all()
    assert not any(values[~out.action].any() for values in out.stats)


def test_a_stop_token_ends_a_completion_and_belongs_to_it():
    outs = [run_generate(seed=seed) for seed in range(8)]
    out = jax.tree.map(lambda *leaves: np.concatenate(leaves), *outs)
    lengths = out.action.sum(axis=1)
    stops = np.isin(out.tokens, STOPS) & out.action
    last = np.arange(MAX_NEW_TOKENS)[None] == lengths[:, None] - 1
    np.testing.assert_array_equal(stops, last & ~out.truncated[:, None])
    assert (lengths[out.truncated] == MAX_NEW_TOKENS).all()
    assert 0 < out.truncated.sum() < len(lengths)  # of 128 rows, about one in eight
    assert (lengths < MAX_NEW_TOKENS).any()


def test_a_stop_token_at_the_limit_is_no_truncation():
    at_limit = 0
    for seed in range(64):
        out = run_generate(seed=seed)
        ended = np.isin(out.tokens[:, -1], STOPS) & out.action[:, -1]
        assert not out.truncated[ended].any()
        at_limit += ended.sum()
    assert at_limit > 0


def test_greedy_takes_the_likeliest_token():
    out = run_generate(temperature=0)
    likeliest = np.asarray(full_forward_logits(out)).argmax(axis=-1)
    np.testing.assert_array_equal(out.tokens[out.action], likeliest[out.action])
    by_prompt = out.tokens.reshape(PROMPTS, SAMPLES, MAX_NEW_TOKENS)
    np.testing.assert_array_equal(by_prompt, np.broadcast_to(by_prompt[:, :1], by_prompt.shape))


def test_the_first_token_has_the_frequencies_of_the_softmax():
    seeds = range(40)
    drawn = np.stack(
        [run_generate(seed=seed).tokens[:, 0].reshape(PROMPTS, SAMPLES) for seed in seeds], axis=1
    )
    prompts = make_prompts()
    exact = jax.nn.softmax(full_logits(*make_model(), prompts.tokens, prompts.valid)[:, -1])
    number = SAMPLES * len(seeds)
    for row, probabilities in zip(drawn.reshape(PROMPTS, number), np.asarray(exact), strict=True):
        count = np.bincount(row, minlength=19)
        binomial = scipy.stats.binom(number, probabilities)
        # Of 76 counts none is so rare once in a million times.
        assert min(binomial.cdf(count).min(), binomial.sf(count - 1).min()) > 1e-8


def test_a_sample_does_not_depend_on_the_order_of_the_batch():
    order = np.array([2, 0, 3, 1])
    shuffled = run_generate(jax.tree.map(lambda array: array[order], make_prompts()))
    there = jax.tree.map(
        lambda a: a.reshape(PROMPTS, SAMPLES, *a.shape[1:])[order].reshape(a.shape), run_generate()
    )
    np.testing.assert_array_equal(shuffled.tokens, there.tokens)
    np.testing.assert_array_equal(shuffled.action, there.action)
    np.testing.assert_allclose(shuffled.stats.logprob, there.stats.logprob, atol=1e-6)


def test_a_sample_does_not_depend_on_what_else_is_in_the_batch():
    """Other shapes round differently, which may turn a draw on the edge: of 128 rows one at most.

    A draw is on the edge once in some millions.
    """
    same = []
    for seed in range(8):
        together = run_generate(seed=seed).tokens.reshape(PROMPTS, SAMPLES, MAX_NEW_TOKENS)
        for row in range(PROMPTS):
            prompt = jax.tree.map(lambda array, row=row: array[row : row + 1], make_prompts())
            alone = run_generate(prompt, seed=seed).tokens
            same.append((alone == together[row]).all(axis=1))
    assert np.concatenate(same).sum() >= 127


def test_a_problem_that_comes_again_is_answered_anew():
    """The first occurrence keeps the tokens that it has alone; none of the later ones copies it."""
    prompts, alone = make_prompts(), run_generate()

    def take(rows, occurrences):
        rows = jax.tree.map(lambda array: array[np.array(rows)], prompts)
        return rows._replace(occurrences=np.array(occurrences, np.int32))

    def of(completions, row):
        return completions.tokens[row * SAMPLES : (row + 1) * SAMPLES].tolist()

    again = run_generate(take([0, 1, 0, 0], [0, 0, 1, 2]))
    assert of(again, 0) == of(alone, 0) and of(again, 1) == of(alone, 1)
    answers = [of(again, row) for row in (0, 2, 3)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        pairs = zip(answers[first], answers[second], strict=True)
        assert any(one != other for one, other in pairs)
    # An occurrence is the same wherever its row stands.
    assert of(run_generate(take([1, 0, 2, 3], [0, 2, 0, 0])), 1) == answers[2]


def test_keys_of_a_first_occurrence_are_those_of_identifier_and_sample():
    """Runs of before occurrences were folded in have the same tokens."""
    key, prompts = (
        make_key(5),
        make_prompts()._replace(identifiers=np.array([9, 4, 9, 0], np.int32)),
    )
    repeated = prompts._replace(occurrences=np.array([0, 0, 1, 0], np.int32))
    plain, again = (
        np.asarray(jax.random.key_data(_fold_sequence_keys(key, asked, 2))).reshape(4, 2, -1)
        for asked in (prompts, repeated)
    )
    for row, identifier in enumerate((9, 4, 9, 0)):
        for sample in range(2):
            expected = jax.random.fold_in(jax.random.fold_in(key, identifier), sample)
            np.testing.assert_array_equal(plain[row, sample], jax.random.key_data(expected))
    np.testing.assert_array_equal(again[[0, 1, 3]], plain[[0, 1, 3]])
    assert (again[2] != plain[2]).any(axis=-1).all()


def test_samples_and_seeds_differ():
    first, second = run_generate(seed=0), run_generate(seed=1)
    # Two draws of a first token are the same one time in three at most, and of later ones too.
    assert (first.tokens != second.tokens).any(axis=1).mean() > 0.5
    assert len({tuple(row) for row in first.tokens.tolist()}) > PROMPTS * SAMPLES * 0.5
    np.testing.assert_array_equal(first.tokens, run_generate(seed=0).tokens)


def test_tokens_of_one_sequence_have_keys_of_their_own():
    """From a flat distribution neighbors are equal one time in V; under one key, always."""
    graph, params = make_model()
    flat = jax.tree.map(jnp.zeros_like, params)
    prompts = make_prompts()
    out = compiled(
        graph,
        flat,
        prompts,
        make_key(0),
        samples=32,
        max_new_tokens=MAX_NEW_TOKENS,
        stop_tokens=(),
        temperature=1.0,
    )
    tokens = np.asarray(out.tokens)
    for distance in range(1, MAX_NEW_TOKENS):
        equal = (tokens[:, distance:] == tokens[:, :-distance]).mean()
        assert equal < 3 / CONFIG.vocabulary_size, distance


def test_the_loop_ends_when_every_sequence_has():
    """No output shows it, so the loop's condition is read: it also asks whether any row runs."""
    program = jax.make_jaxpr(
        functools.partial(
            generate, make_model()[0], samples=1, max_new_tokens=MAX_NEW_TOKENS, stop_tokens=STOPS
        )
    )(make_model()[1], make_prompts(), make_key(0))
    conditions = [
        str(equation.params["cond_jaxpr"])
        for equation in program.eqns
        if equation.primitive.name == "while"
    ]
    assert any("reduce_or" in condition for condition in conditions)
