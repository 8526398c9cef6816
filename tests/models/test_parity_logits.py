"""Parity of logits and gradients with transformers: every family and every optional field."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

torch = pytest.importorskip(
    "torch", reason="parity with transformers: pip install -r requirements-parity.txt"
)

import transformers  # noqa: E402

from papo_jax import models  # noqa: E402
from tests.support import parity  # noqa: E402

TOKENS, VALID = parity.make_batch()
TOLERANCE = 2e-4  # of float32, absolute; the logits differ by about one

logits = jax.jit(models.logits, static_argnums=0)


def compute_ours(directory, dtype):
    """Returns our logits at real tokens of the batch, [tokens, V]."""
    policy = models.load(str(directory), dtype=dtype)
    return np.asarray(logits(policy.graph, policy.params, TOKENS, VALID))[VALID]


def compute_theirs(model):
    """Returns theirs, [tokens, V]."""
    with torch.no_grad():
        return parity.compute_their_logits(model, TOKENS, VALID).float().numpy()[VALID]


@pytest.mark.parametrize("name", parity.CASES)
def test_logits_in_float32(name, tmp_path):
    truth = compute_theirs(parity.build_model(name, tmp_path))
    assert truth.std() > 1
    np.testing.assert_allclose(compute_ours(tmp_path, "float32"), truth, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", parity.CASES)
def test_logits_in_bfloat16(name, tmp_path):
    """The two round in different places, ours less often; so ours must be nearer to float32."""
    truth = compute_theirs(parity.build_model(name, tmp_path, gentle=True))
    half = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.bfloat16, attn_implementation="eager"
    )
    got, rounded = compute_ours(tmp_path, "bfloat16"), compute_theirs(half)
    assert truth.std() > 0.75
    np.testing.assert_allclose(got, rounded, rtol=0, atol=3e-2)
    assert np.square(got - truth).mean() < np.square(rounded - truth).mean()


SAME = [
    {"llama-grouped", "llama-pretraining_tp"},
    {"llama-yarn", "llama-yarn-mscale_alone"},
    {"mistral", "mistral-wide_window"},
]


def test_every_option_would_show():
    """Logits of cases with the same weights differ by far more than the tolerance.

    Otherwise an option is not tested.
    """
    found = {}
    for name in parity.CASES:
        model = parity.build_model(name)
        shapes = (model.config.model_type, *(tuple(weight.shape) for weight in model.parameters()))
        found.setdefault(shapes, []).append((name, compute_theirs(model)))
    pairs = [pair for alike in found.values() for pair in itertools.combinations(alike, 2)]
    assert len(pairs) > 40
    for (first, its), (second, others) in pairs:
        difference = np.abs(its - others).max()
        assert difference == 0 if {first, second} in SAME else difference > 100 * TOLERANCE, (
            first,
            second,
            difference,
        )


GRADIENTS = {
    "qwen3-attention_bias": {},
    "mistral-window": {},
    "llama-yarn-attention_factor": {},
    "smollm3-mlp_bias": dict(
        tie_word_embeddings=True, num_hidden_layers=3, no_rope_layers=[1, 0, 1]
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, tmp_path):
    """Of the mean next-token loss; the export puts ours under Hugging Face's names."""
    counted = VALID[:, :-1] & VALID[:, 1:]
    model = parity.build_model(name, tmp_path / "model", **GRADIENTS[name])
    logprob = torch.log_softmax(parity.compute_their_logits(model, TOKENS, VALID)[:, :-1], dim=-1)
    chosen = logprob.gather(-1, torch.tensor(TOKENS[:, 1:, None]).long())[..., 0]
    (-chosen[torch.tensor(counted)].mean()).backward()

    policy = models.load(str(tmp_path / "model"))

    def loss(params):
        logprob = jax.nn.log_softmax(models.logits(policy.graph, params, TOKENS, VALID)[:, :-1])
        chosen = jax.numpy.take_along_axis(logprob, TOKENS[:, 1:, None], axis=-1)[..., 0]
        return -(chosen * counted).sum() / counted.sum()

    gradient = jax.jit(jax.grad(loss))(policy.params)
    models.export(dataclasses.replace(policy, params=gradient), tmp_path / "gradient")
    got = load_file(tmp_path / "gradient/model.safetensors")
    wanted = {label: weight.grad.numpy() for label, weight in model.named_parameters()}
    assert got.keys() == wanted.keys()
    for label, tensor in wanted.items():
        largest = np.abs(tensor).max()
        assert largest > 1e-5, label
        np.testing.assert_allclose(
            got[label] / largest, tensor / largest, rtol=0, atol=1e-4, err_msg=label
        )
