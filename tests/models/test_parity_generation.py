"""Greedy decoding, token for token against `model.generate` of transformers.

Shapes: N prompts, P prompt slots, T generated tokens, V vocabulary.
"""

import jax
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity with transformers: pip install -r requirements-parity.txt"
)

from papo_jax import models  # noqa: E402
from papo_jax.rollout.generate import PAD, Prompts, generate  # noqa: E402
from tests.support import parity  # noqa: E402

LENGTHS, P, T = (5, 12, 9), 12, 64
# Case -> seed of its prompts, one under which no two tokens are ever about equally likely
# (`MARGIN`).
SEEDS = {
    "llama-yarn": 1,
    "mistral-window": 5,
    "qwen2-window": 1,
    "qwen3": 4,
    "qwen3-layer_types": 2,
    "smollm3": 2,
    "smollm3-window": 1,
}
# Between the two highest logits; below it roundings would decide, and nothing could be compared.
MARGIN = 1e-3


def make_prompts(name: str) -> Prompts:
    """[N, P], padded on the left with tokens that a mistake in the mask would let in."""
    tokens = np.random.default_rng(SEEDS[name]).integers(3, 100, (len(LENGTHS), P)).astype(np.int32)
    valid = np.arange(P) >= P - np.array(LENGTHS)[:, None]
    return Prompts(tokens, valid, np.arange(len(LENGTHS), dtype=np.int32))


def generate_theirs(model, asked: Prompts, stop: int | None = None) -> np.ndarray:
    """[N, T]; `PAD` after the stop token."""
    model.generation_config.eos_token_id = stop
    out = model.generate(
        torch.tensor(asked.tokens).long(),
        attention_mask=torch.tensor(asked.valid).long(),
        do_sample=False,
        max_new_tokens=T,
        pad_token_id=PAD,
        return_dict_in_generate=True,
        output_logits=True,
    )
    tokens = out.sequences[:, P:].numpy()
    tokens = np.pad(tokens, ((0, 0), (0, T - tokens.shape[1])), constant_values=PAD)
    highest = torch.stack(out.logits, dim=1).topk(2).values.numpy()  # [N, T, 2]
    assert (highest[..., 0] - highest[..., 1]).min() > MARGIN
    return tokens


def check_ours(directory, asked: Prompts, wanted: np.ndarray, stop: int) -> None:
    """Checks that our sampler, at temperature 0, draws `wanted` [N, T] and stops where it does."""
    policy = models.load(str(directory))
    run = jax.jit(
        generate,
        static_argnums=0,
        static_argnames=("samples", "max_new_tokens", "stop_tokens", "temperature"),
    )
    got = run(
        policy.graph,
        policy.params,
        asked,
        jax.random.key(0),
        samples=1,
        max_new_tokens=T,
        stop_tokens=(stop,),
        temperature=0,
    )

    np.testing.assert_array_equal(got.tokens, wanted)
    stopped = (wanted == stop).any(axis=1)
    np.testing.assert_array_equal(got.truncated, ~stopped)
    np.testing.assert_array_equal(
        got.action.sum(axis=1), np.where(stopped, (wanted == stop).argmax(axis=1) + 1, T)
    )


@pytest.mark.parametrize("name", sorted(SEEDS.keys() - {"qwen3"}))
def test_greedy_to_the_limit(name, tmp_path):
    model, asked = parity.build_model(name, tmp_path), make_prompts(name)
    never = min({*range(100)} - {*generate_theirs(model, asked).flat})
    wanted = generate_theirs(model, asked, never)
    assert len(np.unique(wanted)) > 10  # not one token for ever
    check_ours(tmp_path, asked, wanted, never)


def test_greedy_where_one_row_stops_early(tmp_path):
    model, asked = parity.build_model("qwen3", tmp_path), make_prompts("qwen3")
    first, second, _ = generate_theirs(model, asked).tolist()
    stop = next(
        token
        for n, token in enumerate(second)
        if n > 5 and token not in second[:n] and token not in first
    )
    wanted = generate_theirs(model, asked, stop)
    assert wanted[1, -1] == PAD and stop not in wanted[0]
    check_ours(tmp_path, asked, wanted, stop)


def test_greedy_from_prompts_padded_on_the_right(tmp_path):
    """Without a cache: each row grows into its own padding."""
    model, asked = parity.build_model("llama-yarn", tmp_path), make_prompts("llama-yarn")
    wanted = generate_theirs(model, asked)
    policy = models.load(str(tmp_path))
    lengths = np.array(LENGTHS)
    tokens = np.full((len(lengths), P + T), 7, np.int32)
    for row, length in enumerate(LENGTHS):
        tokens[row, :length] = asked.tokens[row, asked.valid[row]]

    @jax.jit
    def next_tokens(params, tokens, lengths):
        valid = jax.numpy.arange(P + T)[None] < lengths[:, None]
        logits = models.logits(policy.graph, params, tokens, valid)
        return jax.numpy.take_along_axis(logits, lengths[:, None, None] - 1, axis=1)[:, 0].argmax(
            -1
        )

    for step in range(T):
        tokens[np.arange(len(lengths)), lengths + step] = next_tokens(
            policy.params, tokens, lengths + step
        )
    got = [tokens[row, length : length + T] for row, length in enumerate(LENGTHS)]
    np.testing.assert_array_equal(got, wanted)
