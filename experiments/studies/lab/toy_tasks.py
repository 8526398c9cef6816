"""Toy tasks for studying reinforcement learning: arithmetic that is graded on the device.

    sums     two operations, answered at once with three digits: "17+8*9=" -> "089". The base
             policy is undertrained, so that it is right now and then on most problems: what is
             learned is to be sure.
    chains   three operations, answered at once (mostly wrong) or worked out step by step (mostly
             right): "12+7*3-4=" -> "12+21-4=33-4=029". The base policy rarely works anything out:
             what is to be learned has to be found first, and a policy that loses its entropy
             before cannot find it.

Answers have a fixed width, so a right one can be told from a completion's last tokens, inside a
jitted step and under `vmap`.

Shapes: M problems, P prompt slots, W = 3 digits of an answer, B sequences, T completion slots.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from transformers import PreTrainedTokenizerFast

from experiments.pretrain import character_tokenizer
from papo_jax.rollout.generate import Prompts
from papo_jax.tasks.problem import Problem
from papo_jax.tasks.sources import arithmetic

CHARACTERS = "0123456789+-*()="
WIDTH = 3  # digits of an answer


class ToyTask(NamedTuple):
    """A family of problems with the size of its prompts and completions.

    Attributes:
      name: of the task.
      difficulty: operations of a problem.
      max_new_tokens: T, tokens of the longest completion, its stop token included.
      prompt_slots: P.
    """

    name: str
    difficulty: int
    max_new_tokens: int
    prompt_slots: int


TOY_TASKS = {
    "sums": ToyTask("sums", difficulty=2, max_new_tokens=4, prompt_slots=10),
    "chains": ToyTask("chains", difficulty=3, max_new_tokens=20, prompt_slots=14),
}


class EncodedProblems(NamedTuple):
    """Encoded problems.

    Attributes:
      prompts: of M problems.
      reference_answers: [M, W] int32, the digits' tokens.
    """

    prompts: Prompts
    reference_answers: np.ndarray


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Returns the tokenizer of the toy tasks: a token a character, nineteen in all."""
    return character_tokenizer(CHARACTERS)


def make_problems(task: ToyTask, split: str, count: int) -> EncodedProblems:
    """Makes the first problems of a split, the same ones every time.

    Args:
      task: of `TOY_TASKS`.
      split: "train" or "held_out".
      count: M.

    Returns:
      M problems that are all different.

    Raises:
      ValueError: if a prompt has more than P tokens.
    """
    problems = list(_generate_distinct(task, split, count))
    tokenizer = make_tokenizer()

    prompts = tokenizer(
        [problem.prompt for problem in problems],
        padding="max_length",
        max_length=task.prompt_slots,
        return_tensors="np",
    )
    tokens = prompts["input_ids"].astype(np.int32)
    valid = prompts["attention_mask"].astype(bool)
    if tokens.shape != (count, task.prompt_slots):
        raise ValueError(f"a problem of {task.name} is longer than {task.prompt_slots} tokens")

    references = [pad_answer(problem.answer_text) for problem in problems]
    digits = tokenizer(references, return_tensors="np")["input_ids"]
    return EncodedProblems(
        prompts=Prompts(tokens=tokens, valid=valid, identifiers=jnp.arange(count, dtype=np.int32)),
        reference_answers=digits.astype(np.int32),
    )


def _generate_distinct(task: ToyTask, split: str, count: int) -> Iterator[Problem]:
    """Yields different problems whose prompts and answers fit into their slots."""
    seen, index = set(), 0
    while len(seen) < count:
        problem = arithmetic.generate_problem(11, split, index, difficulty=task.difficulty)
        index += 1
        fits = len(problem.prompt) <= task.prompt_slots and int(problem.answer_text) < 10**WIDTH
        if fits and problem.prompt not in seen:
            seen.add(problem.prompt)
            yield problem


def make_demonstration(task: ToyTask, index: int, worked_share: float) -> tuple[str, str]:
    """Returns demonstration number `index` for a base policy's warm start.

    Args:
      task: of `TOY_TASKS`.
      index: decides the problem and whether it is worked out.
      worked_share: probability that it is.

    Returns:
      (prompt, completion).
    """
    rng = random.Random(f"{task.name}/{index}")
    while True:
        seed = rng.randrange(2**30)
        problem = arithmetic.generate_problem(12, "train", seed, difficulty=task.difficulty)
        steps = arithmetic.solution_steps(problem.prompt[:-1])
        answer = pad_answer(steps[-1])
        completion = "=".join([*steps[:-1], answer]) if rng.random() < worked_share else answer
        prompt_fits = len(problem.prompt) <= task.prompt_slots
        completion_fits = len(completion) < task.max_new_tokens
        if prompt_fits and completion_fits and int(steps[-1]) < 10**WIDTH:
            return problem.prompt, completion


def pad_answer(number: str) -> str:
    """Writes a number with three digits.

    >>> pad_answer("89")
    '089'
    """
    return number.zfill(WIDTH)


def grade_completions(
    *,
    tokens: jax.Array,
    action: jax.Array,
    truncated: jax.Array,
    reference_answers: jax.Array,
    equals_token: int,
) -> jax.Array:
    """Grades completions by their last tokens.

    A completion is right if it ends in the reference answer's digits, with nothing or an equals
    sign before them.

    Args:
      tokens: [B, T] with the stop token.
      action: [B, T] boolean, true on tokens that the policy drew.
      truncated: [B] boolean, true without a stop token.
      reference_answers: [B, W].
      equals_token: the token of "=".

    Returns:
      [B] float32, 1 or 0.
    """
    # Cut out the W + 1 tokens before each stop token; an equals sign stands before a completion.
    stop_index = action.sum(axis=1) - 1
    padded = jnp.pad(tokens, ((0, 0), (WIDTH + 1, 0)), constant_values=equals_token)
    ending = jax.vmap(lambda row, start: jax.lax.dynamic_slice(row, (start,), (WIDTH + 1,)))(
        padded, stop_index
    )

    equal = (ending[:, 1:] == reference_answers).all(axis=1) & (ending[:, 0] == equals_token)
    return (equal & ~truncated).astype(jnp.float32)
