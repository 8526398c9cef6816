"""The configs are runbooks: each resolves, and its sizes fit, before anybody pays for a machine."""

import pytest

from papo_jax.config import command_line, config_dict, default_settings
from papo_jax.config.checks import check_settings
from papo_jax.errors import InputError

POSITIONS = {"math-7b": 4096, "4b": 32768}  # of Qwen2.5-Math-7B and Qwen3-4B-Base


def resolved(file, variant="") -> default_settings.Settings:
    config = command_line.DEFAULT_CONFIG.with_name(file)
    arguments = ["run.py", f"--config={config}:{variant}" if variant else f"--config={config}"]
    made = config_dict.resolve_settings(command_line.parse_command_line(arguments).config)
    check_settings(made)
    return made


@pytest.mark.parametrize("machine, devices", [("h100x8", 8), ("v5p-32", 16)])
@pytest.mark.parametrize("model", POSITIONS)
@pytest.mark.parametrize("rest", ["", ",lora", ",dapo", ",papo,lam=0.4,training.steps=7"])
def test_qwen(model, machine, devices, rest):
    made = resolved("qwen.py", f"{model},{machine}{rest}")
    assert made.rollout.max_prompt_tokens + made.rollout.max_new_tokens <= POSITIONS[model]
    assert made.mesh.data * made.mesh.fsdp * made.mesh.tensor == devices
    assert (
        made.minibatch == 32 * 8
        and made.sequences == 512 * 8
        and made.training.learning_rate == (1e-5 if "lora" in rest else 1e-6)
    )
    assert (made.model.lora_rank, made.model.param_dtype) == (
        (32, "bfloat16") if "lora" in rest else (0, "float32")
    )
    assert made.method.name == ("dapo" if "dapo" in rest else "papo") and made.training.steps == (
        7 if "steps" in rest else 200
    )


def test_smollm2_and_default():
    assert resolved("smollm2.py").training.steps == 20
    assert resolved("default.py") == default_settings.Settings()


@pytest.mark.parametrize(
    "variant, said", [("math-8b,h100x8", "math-8b"), ("4b,h100x8,lamda=1", "lamda")]
)
def test_a_variant_that_does_not_exist(variant, said):
    with pytest.raises(InputError, match=said):
        resolved("qwen.py", variant)
