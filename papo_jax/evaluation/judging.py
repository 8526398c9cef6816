"""Judging of completions, of a training step or of an evaluation."""

from collections.abc import Sequence

from papo_jax.errors import TrainingStopped
from papo_jax.grading import Judgment, Pool
from papo_jax.grading.judgment import ERROR
from papo_jax.tasks.problem import Problem


def judge_completions(
    pool: Pool, problems: Sequence[Problem], texts: Sequence[str], *, owner: str, **options
) -> list[Judgment]:
    """Has the completions of some problems judged.

    Args:
      pool: of grading processes.
      problems: that were asked.
      texts: the completions, the same number for each problem, side by side.
      owner: whose completions they are, such as "step 3", for the message.
      **options: of `Pool.judge`.

    Returns:
      A `Judgment` a completion.

    Raises:
      TrainingStopped: if not one could be judged.
    """
    asked = [problem for problem in problems for _ in range(len(texts) // len(problems))]
    judgments = pool.judge(
        [(p.grader, p.answer, text) for p, text in zip(asked, texts, strict=True)], **options
    )
    if all(judgment.verdict == ERROR for judgment in judgments):
        raise TrainingStopped(
            f"not one of {owner}'s {len(judgments)} answers could be judged"
            f" (the first: {judgments[0].reason}); look at the graders"
        )
    return judgments
