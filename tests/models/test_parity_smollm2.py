"""Parity of SmolLM2-135M-Instruct, read from GGUF and exported, with transformers."""

import shutil

import jax
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity with transformers: pip install -r requirements-parity.txt"
)

import transformers  # noqa: E402

from papo_jax import models  # noqa: E402
from papo_jax.errors import InputError  # noqa: E402
from papo_jax.models.formats.gguf import gguf_policy  # noqa: E402
from papo_jax.rollout.generate import Prompts, generate  # noqa: E402
from tests.support import parity  # noqa: E402

SENTENCES = [
    "The capital of France is Paris, and the river that runs through it is the Seine.",
    "Mara bakes 24 muffins in the morning and twice as many in the afternoon. How many are there?",
    "def add(first, second):\n    return first + second\n",
]

pytestmark = pytest.mark.smollm2


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """(our policy, their model of what we exported); the export, half a gigabyte, is deleted."""
    try:
        gguf_policy.find_smollm2()
    except InputError as missing:
        pytest.skip(str(missing))
    policy = models.load("smollm2")
    directory = tmp_path_factory.mktemp("smollm2")
    models.export(policy, directory, dtype="float32")
    yield (
        policy,
        transformers.AutoModelForCausalLM.from_pretrained(
            directory, attn_implementation="eager"
        ).eval(),
    )
    shutil.rmtree(directory)


def test_logits(both):
    policy, model = both
    encoded = policy.tokenizer(SENTENCES, padding=True, return_tensors="np")
    tokens, valid = encoded["input_ids"].astype(np.int32), encoded["attention_mask"].astype(bool)
    got = jax.jit(models.logits, static_argnums=0)(policy.graph, policy.params, tokens, valid)
    with torch.no_grad():
        wanted = parity.compute_their_logits(model, tokens, valid).numpy()
    difference = np.abs(np.asarray(got) - wanted)[valid].max()
    assert difference < 2e-4 * wanted[valid].std()


def test_greedy_answer(both):
    policy, model = both
    question = [
        {"role": "user", "content": "What is the capital of France? Tell me about its river too."}
    ]
    text = policy.tokenizer.apply_chat_template(
        question, tokenize=False, add_generation_prompt=True
    )
    tokens = np.array([policy.tokenizer(text, add_special_tokens=False)["input_ids"]], np.int32)
    prompts = Prompts(tokens, np.ones(tokens.shape, bool), np.zeros(1, np.int32))

    run = jax.jit(
        generate,
        static_argnums=0,
        static_argnames=("samples", "max_new_tokens", "stop_tokens", "temperature"),
    )
    got = run(
        policy.graph,
        policy.params,
        prompts,
        jax.random.key(0),
        samples=1,
        max_new_tokens=20,
        stop_tokens=policy.stop_tokens,
        temperature=0,
    )

    wanted = model.generate(
        torch.tensor(tokens).long(),
        attention_mask=torch.ones(tokens.shape, dtype=torch.long),
        do_sample=False,
        max_new_tokens=20,
        pad_token_id=0,
    )[0, tokens.shape[1] :].tolist()
    assert got.tokens[0, : len(wanted)].tolist() == wanted
    assert "Paris" in policy.tokenizer.decode(wanted)
