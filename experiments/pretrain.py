"""Warm start of the shipped policy `tiny`: a short supervised training on arithmetic.

    python -m experiments.pretrain --output=papo_jax/models/tiny

Half of the demonstrations give the answer at once ("12+7*3=" -> "33"), half work it out step by
step ("12+21=33"). So the base policy knows both ways and is undecided between them, which is where
reinforcement learning starts from: most of its direct answers are wrong, most of its worked ones
right.

Prompts come from the `train` split only; the held-out split stays unseen by warm start and training
alike.

Seen on two shared CPU cores: 3,000 steps of 128 demonstrations in 55 minutes beside other work (49
CPU minutes). Held-out reward at temperature 1 and difficulty 3 by step: 0.01 at 500, 0.04 at 1000,
0.13 at 1500, 0.24 at 2250, 0.335 at 3000, where 48 % of the completions were worked out (64 % of
those right) and 52 % direct (5 % right).

Shapes: B demonstrations of a batch, P prompt slots, T completion slots.
"""

import argparse
import functools
import pathlib
import random
from collections.abc import Iterator
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import init_state
from papo_jax.learner.supervised import update_on_demonstrations
from papo_jax.models import Policy, export, initialize
from papo_jax.models.model_config import ModelConfig
from papo_jax.rollout.generate import Prompts, generate
from papo_jax.tasks.sources import arithmetic

PROMPT_SLOTS, COMPLETION_SLOTS = 12, 24  # P and T: what difficulty 3 needs
DIFFICULTIES = (1, 2, 3, 3)
# Not the default of any run: the warm start should not see a run's own problems more than others.
DATA_SEED = 7
PRINTABLE = "\t\n" + "".join(map(chr, range(32, 127)))


def character_tokenizer(characters: str = PRINTABLE) -> PreTrainedTokenizerFast:
    """Returns a tokenizer with a token a character, after three special tokens.

    The default characters are tab, newline and printable ASCII, 100 tokens in all.
    """
    tokens = ["<pad>", "<eos>", "<unk>", *characters]
    tokenizer = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
    )


def model_config(vocabulary_size: int) -> ModelConfig:
    """Returns a model of about one million parameters, with the block of Qwen3."""
    return ModelConfig(
        architecture="qwen3",
        vocabulary_size=vocabulary_size,
        width=128,
        layers=4,
        heads=4,
        kv_heads=2,
        head_dim=32,
        mlp_width=512,
        tied=True,
        qk_norm=True,
        max_positions=2048,
    )


def demonstration_batches(
    tokenizer, batch: int, worked_share: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields batches: prompts padded on the left, completions on the right.

    Args:
      tokenizer: a token a character.
      batch: B.
      worked_share: probability that a demonstration is worked out.

    Yields:
      (tokens [B, P + T] int32, valid [B, P + T] boolean).
    """
    index = 0
    while True:
        tokens = np.zeros((batch, PROMPT_SLOTS + COMPLETION_SLOTS), np.int32)
        valid = np.zeros(tokens.shape, bool)
        for row in range(batch):
            # Draw a problem and one of the two ways to answer it.
            rng = random.Random(f"demonstration/{index}")
            difficulty = rng.choice(DIFFICULTIES)
            problem = arithmetic.generate_problem(DATA_SEED, "train", index, difficulty=difficulty)
            index += 1
            steps = arithmetic.solution_steps(problem.prompt[:-1])
            text = "=".join(steps) if rng.random() < worked_share else problem.answer_text

            prompt = tokenizer.encode(problem.prompt)
            completion = tokenizer.encode(text)[: COMPLETION_SLOTS - 1] + [tokenizer.eos_token_id]
            slots = slice(PROMPT_SLOTS - len(prompt), PROMPT_SLOTS + len(completion))
            tokens[row, slots], valid[row, slots] = prompt + completion, True
        yield tokens, valid


def measure_policy(
    graph, params, tokenizer, difficulty: int, *, problems: int = 256, samples: int = 4
) -> dict[str, float]:
    """Measures a policy on held-out problems at temperature 1.

    Args:
      graph: of the policy.
      params: of the policy.
      tokenizer: a token a character.
      difficulty: operations of a problem.
      problems: how many.
      samples: completions of each.

    Returns:
      The share of right completions, of problems with a right one, of completions that are worked
      out, and of right ones among those that are and among those that are not.
    """
    chosen = [
        arithmetic.generate_problem(DATA_SEED, "held_out", i, difficulty=difficulty)
        for i in range(problems)
    ]
    encoded = tokenizer(
        [problem.prompt for problem in chosen],
        padding="max_length",
        max_length=PROMPT_SLOTS,
        return_tensors="np",
    )
    prompts = Prompts(
        tokens=encoded["input_ids"].astype(np.int32),
        valid=encoded["attention_mask"].astype(bool),
        identifiers=jnp.arange(problems),
    )

    # Sample, detokenize and grade.
    out = jax.jit(
        lambda params, key: generate(
            graph,
            params,
            prompts,
            key,
            samples=samples,
            max_new_tokens=COMPLETION_SLOTS,
            stop_tokens=(tokenizer.eos_token_id,),
        )
    )(params, jax.random.key(1))
    texts = tokenizer.batch_decode(
        np.where(out.action, out.tokens, tokenizer.pad_token_id), skip_special_tokens=True
    )
    references = [problem.answer_text for problem in chosen for _ in range(samples)]
    right = np.array(
        [text.split("=")[-1] == answer for text, answer in zip(texts, references, strict=True)]
    )
    worked = np.array(["=" in text for text in texts])
    return {
        "reward": right.mean(),
        "pass": right.reshape(problems, samples).any(axis=1).mean(),
        "worked": worked.mean(),
        "right if worked": right[worked].mean() if worked.any() else 0.0,
        "right if direct": right[~worked].mean() if (~worked).any() else 0.0,
    }


def main(arguments: argparse.Namespace) -> None:
    """Trains, prints the sampled reward on the way and writes a Hugging Face directory."""
    tokenizer = character_tokenizer()
    config = model_config(len(tokenizer))
    graph, params = initialize(config, jax.random.key(arguments.seed))
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, arguments.learning_rate, 100, arguments.steps
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.01)
    )

    update = jax.jit(
        functools.partial(update_on_demonstrations, optimizer=optimizer, prompt_slots=PROMPT_SLOTS)
    )

    # Train, and measure on the way.
    state, scorer = init_state(params, optimizer, seed=0), PolicyScorer(graph)
    batches = demonstration_batches(tokenizer, arguments.batch, arguments.worked_share)
    for step in range(1, arguments.steps + 1):
        tokens, valid = next(batches)
        state, metrics = update(state, tokens, valid, scorer)
        if step % arguments.report_every == 0 or step == arguments.steps:
            figures = measure_policy(graph, state.params, tokenizer, arguments.difficulty)
            shown = [f"{name} {value:.3f}" for name, value in figures.items()]
            print(step, f"loss {metrics['loss']:.3f}", *shown, flush=True)

    params = jax.tree.map(np.asarray, state.params)
    stop_token = cast(int, tokenizer.eos_token_id)
    policy = Policy(
        config=config, graph=graph, params=params, tokenizer=tokenizer, stop_tokens=(stop_token,)
    )
    export(policy, pathlib.Path(arguments.output), dtype="bfloat16")


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, help="directory to write")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=128, help="demonstrations a step")
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--worked_share", type=float, default=0.5)
    parser.add_argument(
        "--difficulty", type=int, default=3, help="of the problems that the report samples"
    )
    parser.add_argument("--report_every", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_arguments())
