"""Qwen2.5-Math-7B and Qwen3-4B-Base on DAPO-Math-17k under PAPO, set up as the papers beside PAPO
do.

    hf download Qwen/Qwen2.5-Math-7B --local-dir models/Qwen2.5-Math-7B
    python run.py --config=experiments/configs/qwen.py:math-7b,h100x8
    --config.model.path=models/Qwen2.5-Math-7B \\
        --config.task.path=data/dapo-math-17k.parquet \\
        --config.evaluation.path=data/aime_2024.jsonl:data/aime_2025.jsonl:data/amc_2023.jsonl
        --workdir=runs/math-7b
    python run.py --mode=evaluate --workdir=runs/math-7b --config.evaluation.task=math_500 \\
        --config.evaluation.path=data/math_500.jsonl --config.evaluation.problems=500
        --config.evaluation.samples=4 \\ --output=runs/math-7b/math_500.json
    python run.py --mode=export --workdir=runs/math-7b --dtype=bfloat16

Variants, joined by commas: a model, `math-7b` or `4b`; a machine, `h100x8` (one host, 8 x 80 GB) or
`v5p-32` (16 chips, 95 GB each); then a method's name and any number of key=value. `lora` trains
adapters of rank 32 over bfloat16 weights.

The files are those that the data sets' authors publish; docs/tasks.md says where. The panel is all
of AIME 2024, AIME 2025 and AMC 2023, 32 samples each.

Set-up: learning rate 1e-6 constant after 10 warm-up updates, weight decay 0.1, gradient clip 1; 512
prompts x 8 samples a rollout and 16 updates of 256 sequences, shuffled; temperature 1; clip 0.2 /
0.28, no KL term; answers of 3,072 tokens for Qwen2.5-Math-7B, whose positions end at 4,096, and of
8,192 for Qwen3-4B.

Never run: no such machine was at hand. What is known: the configs resolve, batches divide over the
meshes and fit the models' positions (tests); and for v5p:2x2x4 an update and a rollout compile
ahead of time with, on each chip, arguments of 5.7 GB and temporaries of 16.6 and 18.4 GB (math-7b),
3.0, 32.2 and 28.1 (4b), and 1.7 and 14.8 for an update with `lora`, of 95 GB. `v5p-32` has four
hosts, and the host loop is one process so far: until it is more, take one host (v5p-8 should be
  `v5p-32,mesh.fsdp=4,training.microbatch=4` with rollout.at_once=32 for math-7b and 8 for 4b).
"""

from papo_jax.config import config_dict

MODELS = {
    "math-7b": {
        "model.path": "models/Qwen2.5-Math-7B",
        "rollout.max_prompt_tokens": 1024,
        "rollout.max_new_tokens": 3072,
    },
    "4b": {
        "model.path": "models/Qwen3-4B-Base",
        "rollout.max_prompt_tokens": 2048,
        "rollout.max_new_tokens": 8192,
    },
}
MACHINES = {
    "h100x8": {"mesh.fsdp": 8, "training.microbatch": 8},
    "v5p-32": {"mesh.fsdp": 16, "training.microbatch": 16},
}
# Prompts sampled at a time: their caches of keys and values take 15 to 24 GB a device.
AT_ONCE = {
    ("math-7b", "h100x8"): 64,
    ("math-7b", "v5p-32"): 128,
    ("4b", "h100x8"): 16,
    ("4b", "v5p-32"): 32,
}
LORA = {
    "model.lora_rank": 32,
    "model.lora_alpha": 64.0,
    "model.param_dtype": "bfloat16",
    "training.learning_rate": 1e-5,
}
COMMON = {
    "model.dtype": "bfloat16",
    "model.remat": "full",
    "task.name": "dapo_math_17k",
    "evaluation.task": "aime_2024+aime_2025+amc_2023",
    "grading.workers": 8,
    "rollout.prompts": 512,
    "rollout.samples": 8,
    "rollout.prompt_multiple": 256,
    "training.steps": 200,
    "training.minibatches": 16,
    "training.learning_rate": 1e-6,
    "training.warmup_steps": 10,
    "training.weight_decay": 0.1,
    "training.gradient_clip": 1.0,
    "checkpoint.every": 20,
    "checkpoint.keep": 1,
    "evaluation.every": 20,
    "evaluation.problems": 100,
    "evaluation.samples": 32,
    "diagnostics.every": 10,
}


def get_config(variant: str = ""):
    """Returns the config of a model on a machine, by default Qwen2.5-Math-7B on 8 x H100, changed
    by the rest of `variant`."""
    parts = variant.split(",")
    model = next((part for part in parts if part in MODELS), "math-7b")
    machine = next((part for part in parts if part in MACHINES), "h100x8")
    config = config_dict.default_config()
    config_dict.set_keys(
        config,
        COMMON | MODELS[model] | MACHINES[machine] | {"rollout.at_once": AT_ONCE[model, machine]},
    )
    if "lora" in parts:
        config_dict.set_keys(config, LORA)
    return config_dict.apply(
        config, ",".join(part for part in parts if part not in (model, machine, "lora"))
    )
