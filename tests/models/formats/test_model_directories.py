"""Model directories whose files do not fit each other, or ask for what is not there."""

import json
import shutil
import time

import pytest

from papo_jax import models
from papo_jax.errors import InputError


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
        ({"num_hidden_layers": 10**9}, "num_hidden_layers = 1000000000, and the weights have 2"),
        ({"num_hidden_layers": 1}, "num_hidden_layers = 1, and the weights have 2 layers"),
        ({"vocab_size": 10**9}, "an embedding of shape"),
        ({"intermediate_size": 10**9}, "all weights together are"),
        ({"head_dim": 10**8}, "all weights together are|head_dim"),
    ],
)
def test_sizes_are_those_of_the_weights(directory, changes, said):
    change_config(directory, **changes)
    began = time.process_time()
    with pytest.raises(InputError, match=said) as caught:
        models.load(str(directory))
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 5


def test_an_adapter_beside_the_weights_is_refused_by_name(directory):
    (directory / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="adapter_config.json is a LoRA adapter"):
        models.load(str(directory))


def test_a_directory_with_an_adapter_alone_is_refused_by_name(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="adapter_config.json is a LoRA adapter"):
        models.load(str(tmp_path))
