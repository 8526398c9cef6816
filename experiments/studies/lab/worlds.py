"""Two small worlds to study reinforcement learning in: arithmetic that is graded on the device.

    sums     two operations, answered at once with three digits: "17+8*9=" -> "089". The base policy is undertrained,
             so that it is right now and then on most problems: what is learned is to be sure.
    chains   three operations, answered at once (mostly wrong) or worked out step by step (mostly right):
             "12+7*3-4=" -> "12+21-4=33-4=029". The base policy rarely works anything out: what is
             to be learned has to be found first, and a policy that loses its entropy before cannot
             find it.

Answers have a fixed width, so a right one can be told from its last tokens, inside a jitted step
and under `vmap`.
Shapes: M problems, P prompt slots, W = 3 digits of an answer, B sequences, T completion slots.
"""

import random
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from transformers import PreTrainedTokenizerFast

from experiments.pretrain import character_tokenizer
from papo_jax.rollout.generate import Prompts
from papo_jax.tasks.sources import arithmetic

CHARACTERS = "0123456789+-*()="
WIDTH = 3  # digits of an answer


class World(NamedTuple):
    """What is asked, and how long an answer may be.

    Attributes:
      name: of the world.
      difficulty: operations of a problem.
      limit: T, tokens of the longest answer, its end included.
      slots: P.
    """

    name: str
    difficulty: int
    limit: int
    slots: int


WORLDS = {
    "sums": World("sums", difficulty=2, limit=4, slots=10),
    "chains": World("chains", difficulty=3, limit=20, slots=14),
}


class Problems(NamedTuple):
    """Encoded problems: `prompts` of M problems and `answers` [M, W] int32, the digits' tokens."""

    prompts: Prompts
    answers: np.ndarray


def tokenizer() -> PreTrainedTokenizerFast:
    """Returns the worlds' tokenizer: a token a character, nineteen in all."""
    return character_tokenizer(CHARACTERS)


def problems(world: World, split: str, count: int) -> Problems:
    """Makes problems of a split; the same ones every time.

    Args:
      world: of `WORLDS`.
      split: "train", or "held_out", whose problems are all different.
      count: M.

    Returns:
      `Problems`.
    """
    drawn = list(_problems(world, split, count))
    encode = tokenizer()
    prompts = encode(
        [problem.prompt for problem in drawn],
        padding="max_length",
        max_length=world.slots,
        return_tensors="np",
    )
    digits = encode([fixed(problem.answer) for problem in drawn], return_tensors="np")["input_ids"]
    identifiers = np.arange(count, dtype=np.int32)
    tokens, valid = prompts["input_ids"].astype(np.int32), prompts["attention_mask"].astype(bool)
    if tokens.shape != (count, world.slots):
        raise ValueError(f"a problem of {world.name} is longer than {world.slots} tokens")
    return Problems(Prompts(tokens, valid, identifiers), digits.astype(np.int32))


def _problems(world: World, split: str, count: int):
    seen, index = set(), 0
    while len(seen) < count:
        problem = arithmetic.generate_problem(11, split, index, difficulty=world.difficulty)
        index += 1
        fits = len(problem.prompt) <= world.slots and int(problem.answer) < 10**WIDTH
        if fits and problem.prompt not in seen:
            seen.add(problem.prompt)
            yield problem


def demonstration(world: World, index: int, worked_share: float) -> tuple[str, str]:
    """Returns (prompt, completion) number `index` to make a base policy from; a share of them is
    worked out."""
    rng = random.Random(f"{world.name}/{index}")
    while True:
        problem = arithmetic.generate_problem(
            12, "train", rng.randrange(2**30), difficulty=world.difficulty
        )
        steps = arithmetic.solution_steps(problem.prompt[:-1])
        worked = rng.random() < worked_share
        text = "=".join([*steps[:-1], fixed(steps[-1])]) if worked else fixed(steps[-1])
        if (
            len(problem.prompt) <= world.slots
            and len(text) < world.limit
            and int(steps[-1]) < 10**WIDTH
        ):
            return problem.prompt, text


def fixed(value: str) -> str:
    """Writes a number with three digits.

    >>> fixed("89")
    '089'
    """
    return value.zfill(WIDTH)


def right(
    tokens: jax.Array, mask: jax.Array, truncated: jax.Array, answers: jax.Array, equals: int
) -> jax.Array:
    """Judges completions by their last tokens.

    Right is what ends in the answer's digits, with nothing before them or an equals sign.

    Args:
      tokens: [B, T] with the stop token.
      mask: [B, T] boolean.
      truncated: [B] boolean, without a stop token.
      answers: [B, W].
      equals: the token of "=".

    Returns:
      [B] float32, 1 or 0.
    """
    ends = mask.sum(axis=1) - 1  # where the stop token stands
    padded = jnp.pad(tokens, ((0, 0), (WIDTH + 1, 0)), constant_values=equals)
    window = jax.vmap(lambda row, end: jax.lax.dynamic_slice(row, (end,), (WIDTH + 1,)))(
        padded, ends
    )
    matches = (window[:, 1:] == answers).all(axis=1) & (window[:, 0] == equals)
    return (matches & ~truncated).astype(jnp.float32)
