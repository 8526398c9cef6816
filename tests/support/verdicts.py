"""Verdicts that do not hang on what a policy happened to write."""

import contextlib

import pytest

from papo_jax.grading import Judgment, Pool


@contextlib.contextmanager
def give_mixed_verdicts():
    """Judges every third answer right, so that every group of a run in this process teaches."""

    def judge(self, answers, **_):
        return [
            Judgment("right" if number % 3 == 0 else "wrong", None)
            for number in range(len(answers))
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "judge", judge)
        patch.setattr(
            "papo_jax.training.problems.run_problems.check_graders",
            lambda problems, pool, **_: problems,
        )
        yield
