r"""Qwen2.5-Math-7B or Qwen3-4B-Base learns DAPO-Math-17k under PAPO, on 8 x H100 or TPU v5p.

    hf download Qwen/Qwen2.5-Math-7B --local-dir models/Qwen2.5-Math-7B
    python run.py --config=experiments/configs/qwen.py:math-7b,h100x8 --workdir=runs/math-7b \
        --config.model.path=models/Qwen2.5-Math-7B \
        --config.task.path=data/dapo-math-17k.parquet \
        --config.evaluation.path=data/aime_2024.jsonl:data/aime_2025.jsonl:data/amc_2023.jsonl
    python run.py --mode=evaluate --workdir=runs/math-7b --output=runs/math-7b/math_500.json \
        --config.evaluation.task=math_500 --config.evaluation.path=data/math_500.jsonl \
        --config.evaluation.problems=500 --config.evaluation.samples=4
    python run.py --mode=export --workdir=runs/math-7b --dtype=bfloat16

The variant after the colon names, joined by commas: a model, `math-7b` or `4b`; a machine, `h100x8`
(one host, 8 x 80 GB) or `v5p-32` (16 chips, 95 GB each); `lora` for adapters of rank 32 over
bfloat16 weights; then a method and any number of key=value. The files are those that the authors
of the data sets publish; docs/tasks.md says where. Training is set up as in the papers on related
methods; a temperature of 1, a clip of 0.2 / 0.28 and no KL term are the defaults.

Never run: no such machine was at hand. Tests check that the configs resolve, that batches divide
over the meshes and that answers fit the models' positions. For v5p:2x2x4 an update and a rollout
compile ahead of time, and take on each chip, of 95 GB:

               arguments    temporaries of an update    of a rollout
    math-7b    5.7 GB       16.6 GB                     18.4 GB
    4b         3.0 GB       32.2 GB                     28.1 GB
    lora       1.7 GB       14.8 GB

`v5p-32` has four hosts, and training runs in one process so far. Until that changes, take one
host: v5p-8 should be `v5p-32,mesh.fsdp=4,training.microbatch=4`, with rollout.at_once=32 for
math-7b and 8 for 4b.
"""

from papo_jax.config import config_dict

MODELS = ("math-7b", "4b")  # the first is the default
MACHINES = ("h100x8", "v5p-32")


def get_config(variant: str = "") -> config_dict.Config:
    """Returns the config of a model on a machine, changed by the rest of `variant`."""
    words = variant.split(",")
    model = next((word for word in words if word in MODELS), MODELS[0])
    machine = next((word for word in words if word in MACHINES), MACHINES[0])
    rest = [word for word in words if word not in (model, machine, "lora")]

    config = config_dict.default_config()
    _set_training(config)
    _set_evaluation(config)
    _set_model(config, model)
    _set_machine(config, machine, model)
    if "lora" in words:
        _set_lora(config)
    return config_dict.apply_variant(config, ",".join(rest))


def _set_training(config: config_dict.Config) -> None:
    """Sets the task and 200 steps, each of 4,096 answers and 16 updates."""
    config.task.name = "dapo_math_17k"
    config.grading.workers = 8
    config.rollout.prompts = 512
    config.rollout.samples = 8
    config.rollout.prompt_multiple = 256
    config.training.steps = 200
    config.training.minibatches = 16  # of 256 sequences each, shuffled
    config.training.learning_rate = 1e-6  # constant after the warm-up
    config.training.warmup_steps = 10  # updates
    config.training.weight_decay = 0.1
    config.training.gradient_clip = 1.0
    config.checkpoint.every = 20
    config.checkpoint.keep = 1
    config.diagnostics.every = 10


def _set_evaluation(config: config_dict.Config) -> None:
    """Evaluates on all of AIME 2024, AIME 2025 and AMC 2023, with 32 samples a problem."""
    config.evaluation.task = "aime_2024+aime_2025+amc_2023"
    config.evaluation.problems = 100
    config.evaluation.samples = 32
    config.evaluation.every = 20


def _set_model(config: config_dict.Config, model: str) -> None:
    """Sets the model's path and lengths; the positions of Qwen2.5-Math-7B end at 4,096."""
    config.model.dtype = "bfloat16"
    config.model.remat = "full"
    if model == "math-7b":
        config.model.path = "models/Qwen2.5-Math-7B"
        config.rollout.max_prompt_tokens = 1024
        config.rollout.max_new_tokens = 3072
    else:
        config.model.path = "models/Qwen3-4B-Base"
        config.rollout.max_prompt_tokens = 2048
        config.rollout.max_new_tokens = 8192


def _set_machine(config: config_dict.Config, machine: str, model: str) -> None:
    """Sets the mesh, and how many prompts are sampled at once: caches of 15 to 24 GB a device."""
    if machine == "h100x8":
        config.mesh.fsdp = 8
        config.training.microbatch = 8
        config.rollout.at_once = 64 if model == "math-7b" else 16
    else:
        config.mesh.fsdp = 16
        config.training.microbatch = 16
        config.rollout.at_once = 128 if model == "math-7b" else 32


def _set_lora(config: config_dict.Config) -> None:
    """Trains adapters over frozen bfloat16 weights, at ten times the learning rate."""
    config.model.lora_rank = 32
    config.model.lora_alpha = 64.0
    config.model.param_dtype = "bfloat16"
    config.training.learning_rate = 1e-5
