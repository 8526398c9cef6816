"""Model directories whose files do not fit each other, or ask for what is not there."""

import json
import shutil
import time

import numpy as np
import pytest

from papo_jax import models
from papo_jax.errors import InputError

HUGE = (10**9, 10**18, 10**400, 10**4000)
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "head_dim", "num_attention_heads")
SIZES += ("num_key_value_heads",)


@pytest.fixture
def directory(policy_directory, tmp_path):
    """A copy of the stored policy whose config may be changed."""
    return shutil.copytree(policy_directory, tmp_path / "policy")


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"num_hidden_layers": 3}, "the weights have 2 layers; model.layers.2 is missing"),
        ({"num_hidden_layers": 1}, "have no place in this architecture"),
        ({"num_hidden_layers": True}, "must be a whole number"),
        *(({"num_hidden_layers": size}, "and the weights have 2 layers") for size in HUGE),
        *(({name: size}, "config asks for|below 2|multiple of") for name in SIZES for size in HUGE),
        ({"num_attention_heads": 2**30, "head_dim": 2**30}, "q_proj.weight has shape"),
        ({"rope_theta": 10**400}, "must be a number above 0"),
        ({"rms_norm_eps": 10**400}, "must be a number above 0"),
        ({"max_position_embeddings": 10**400}, "below 2"),
        ({"model_type": "smollm3", "num_hidden_layers": 10**9}, "the weights have 2 layers"),
        ({"use_sliding_window": True, "sliding_window": 10**30}, "below 2"),
    ],
)
def test_sizes_are_those_of_the_weights(directory, changes, said):
    change_config(directory, **changes)
    began = time.process_time()
    with pytest.raises(InputError, match=said) as caught:
        models.load(str(directory))
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 5


def test_positions_beyond_any_sequence_cost_nothing(directory, policy_directory):
    tokens = np.arange(3, 12)[None]
    change_config(
        directory,
        max_position_embeddings=2**31 - 1,
        use_sliding_window=True,
        sliding_window=2**31 - 1,
    )
    large, stored = (models.load(str(path)) for path in (directory, policy_directory))
    np.testing.assert_array_equal(
        models.logits(large.graph, large.params, tokens),
        models.logits(stored.graph, stored.params, tokens),
    )


ADAPTERS = (
    *("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"),
    *("adapters.safetensors", "adapters.npz", "pytorch_lora_weights.safetensors"),
)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_beside_the_weights_is_refused_by_name(directory, name):
    (directory / name).write_text("{}")
    with pytest.raises(InputError, match=f"{name} belongs to an adapter .* merge it"):
        models.load(str(directory))


def test_a_directory_with_an_adapter_alone_is_refused_by_name(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="adapter_config.json belongs to an adapter"):
        models.load(str(tmp_path))


def edit_vocabulary(directory, change):
    path = directory / "tokenizer.json"
    document = json.loads(path.read_text())
    change(document["model"]["vocab"])
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("token", ["7", "~", "<a token that nothing makes>"])
def test_a_token_past_the_embedding_is_refused_by_name(directory, token):
    """The vocabulary has no more entries than the embedding rows: its ids have a gap."""
    edit_vocabulary(directory, lambda ids: (ids.pop("~"), ids.update({token: 100})))
    with pytest.raises(InputError, match=f"gives '{token}' the id 100, .* rows 0 to 99"):
        models.load(str(directory))
