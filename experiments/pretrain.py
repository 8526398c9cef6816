"""Makes the shipped policy `tiny`: a short supervised warm start on arithmetic that the policy is
still bad at.

    python -m experiments.pretrain --output=papo_jax/models/tiny

Half of the demonstrations give the answer at once ("12+7*3=" -> "33"), half work it out step by
step ("12+21=33"). So the base policy knows both ways and is undecided between them, which is where
reinforcement
learning starts from: most of its direct answers are wrong, most of its worked ones right.

Prompts come from the `train` split only; the held-out split stays unseen by warm start and training
alike.

Seen on two shared CPU cores: 3,000 steps of 128 demonstrations in 55 minutes beside other work (49
CPU minutes). Held-out reward at temperature 1 and difficulty 3 by step: 0.01 at 500, 0.04 at 1000,
0.13 at 1500, 0.24 at 2250, 0.335 at 3000, where 48 % of the answers were worked out (64 % of those
right) and 52 % direct (5 % right).
"""

import argparse
import pathlib
import random
from collections.abc import Iterator

import jax
import numpy as np
import optax
from flax import nnx
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from kernels.token_stats import linear_token_stats
from papo_jax.models import Policy, export, initialize
from papo_jax.models.model_config import ModelConfig
from papo_jax.polarity import masked_mean
from papo_jax.rollout.generate import Prompts, generate
from papo_jax.tasks.sources import arithmetic

PROMPT, COMPLETION = 12, 24  # slots, tokens: what difficulty 3 needs
DIFFICULTIES = (1, 2, 3, 3)
DATA_SEED = 7  # not the default of any run: the warm start should not see a run's own problems more than others


def character_tokenizer(
    characters: str = "\t\n" + "".join(map(chr, range(32, 127))),
) -> PreTrainedTokenizerFast:
    """A token a character, after three special tokens; by default tab, newline and printable ASCII,
    100 in all."""
    characters = ["<pad>", "<eos>", "<unk>", *characters]
    tokenizer = Tokenizer(
        models.WordLevel({c: i for i, c in enumerate(characters)}, unk_token="<unk>")
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
    """About one million parameters, with the block of Qwen3."""
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


def demonstrations(
    tokenizer, batch: int, worked_share: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (tokens [B, P + T], valid [B, P + T]): prompts padded on the left, completions on the
    right."""
    index = 0
    while True:
        tokens = np.zeros((batch, PROMPT + COMPLETION), np.int32)
        valid = np.zeros((batch, PROMPT + COMPLETION), bool)
        for row in range(batch):
            rng = random.Random(f"demonstration/{index}")
            difficulty = rng.choice(DIFFICULTIES)
            problem = arithmetic.generate_problem(DATA_SEED, "train", index, difficulty=difficulty)
            index += 1
            steps = arithmetic.solution_steps(problem.prompt[:-1])
            text = "=".join(steps) if rng.random() < worked_share else problem.answer
            prompt = tokenizer.encode(problem.prompt)
            answer = tokenizer.encode(text)[: COMPLETION - 1] + [tokenizer.eos_token_id]
            tokens[row, PROMPT - len(prompt) : PROMPT + len(answer)] = prompt + answer
            valid[row, PROMPT - len(prompt) : PROMPT + len(answer)] = True
        yield tokens, valid


def loss(graph, params, tokens, valid):
    """Mean negative log-probability of the completions' tokens, nats."""
    model = nnx.merge(graph, params)
    hidden = model.compute_hidden_states(tokens, valid)[:, PROMPT - 1 : -1]
    stats = linear_token_stats(hidden, model.unembedding_matrix(), tokens[:, PROMPT:])
    return -masked_mean(stats.logprob, valid[:, PROMPT:])


def sampled_reward(
    graph, params, tokenizer, difficulty: int, *, problems: int = 256, samples: int = 4
) -> dict[str, float]:
    """Share of right answers at temperature 1 on held-out problems, and of answers that are worked
    out."""
    chosen = [
        arithmetic.generate_problem(DATA_SEED, "held_out", i, difficulty=difficulty)
        for i in range(problems)
    ]
    encoded = tokenizer(
        [p.prompt for p in chosen], padding="max_length", max_length=PROMPT, return_tensors="np"
    )
    prompts = Prompts(
        encoded["input_ids"].astype(np.int32),
        encoded["attention_mask"].astype(bool),
        np.arange(problems),
    )
    options = dict(
        samples=samples, max_new_tokens=COMPLETION, stop_tokens=(tokenizer.eos_token_id,)
    )
    out = jax.jit(lambda params, key: generate(graph, params, prompts, key, **options))(
        params, jax.random.key(1)
    )
    texts = tokenizer.batch_decode(
        np.where(out.mask, out.tokens, tokenizer.pad_token_id), skip_special_tokens=True
    )
    right = np.array([t.split("=")[-1] == chosen[i // samples].answer for i, t in enumerate(texts)])
    worked = np.array(["=" in t for t in texts])
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

    @jax.jit
    def update(params, opt_state, tokens, valid):
        value, gradient = jax.value_and_grad(loss, argnums=1)(graph, params, tokens, valid)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    opt_state = optimizer.init(params)
    batches = demonstrations(tokenizer, arguments.batch, arguments.worked_share)
    for step in range(1, arguments.steps + 1):
        params, opt_state, value = update(params, opt_state, *next(batches))
        if step % arguments.report_every == 0 or step == arguments.steps:
            figures = sampled_reward(graph, params, tokenizer, arguments.difficulty)
            print(
                step, f"loss {value:.3f}", *(f"{k} {v:.3f}" for k, v in figures.items()), flush=True
            )
    params = jax.tree.map(np.asarray, params)
    stop_tokens = (tokenizer.eos_token_id,)
    export(
        Policy(config, graph, params, tokenizer, stop_tokens),
        pathlib.Path(arguments.output),
        dtype="bfloat16",
    )


if __name__ == "__main__":
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
    main(parser.parse_args())
