"""Grader that counts how often its caches were cleared, for tests of interruptions."""

import time

from papo_jax.grading.judgment import Judgment

GRADERS = ("sleep",)
CLEARED: list[bool] = []


def judge(grader: str, gold: str, text: str) -> Judgment:
    time.sleep(float(text))
    return Judgment("right", str(len(CLEARED)))


def warm_up(grader: str) -> None:
    """Nothing to import."""


def clear_caches() -> None:
    CLEARED.append(True)
