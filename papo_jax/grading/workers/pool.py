"""Grading in processes that can be killed: no answer can hold up a run, crash it, or run as code in
it."""

import importlib
import math
import weakref
from collections.abc import Sequence

from papo_jax.errors import InputError
from papo_jax.grading import graders
from papo_jax.grading.judgment import Judgment
from papo_jax.grading.workers.batch import Answer, Batch
from papo_jax.grading.workers.crew import Crew

_OWN = -1.0  # stands for the pool's own batch deadline


class Pool:
    """Worker processes that judge answers, and warm spares that take the place of those that have
    to be killed.

    An answer is judged once, by one process, within `deadline` seconds from when that process is
    ready for it; then the process is killed and the verdict is "error" for "timeout". A pool
    belongs to one thread at a time.

    >>> with Pool(workers=1) as pool:
    ...     pool.grade([("integer", "12", "3 * 4 = 12"), ("integer", "12", "13")])
    ['right', 'wrong']
    """

    def __init__(
        self,
        workers: int = 2,
        deadline: float = 5.0,
        *,
        batch_deadline: float | None = None,
        memory: int = 2048,
        spares: int = 1,
        module: str = graders.__name__,
    ):
        """Starts the processes.

        Args:
          workers: answers judged at the same time.
          deadline: seconds an answer.
          batch_deadline: seconds for all answers of a call, from when the first process is ready;
            None for no bound but what the answers' own deadlines come to.
          memory: MiB a process.
          spares: processes that wait to take another's place.
          module: the name of what holds `GRADERS`, `judge` and `warm`.

        Raises:
          InputError: if a number is out of range.
        """
        possible = workers >= 1 and spares >= 0 and memory >= 1 and 0 < deadline < math.inf
        if not possible or not (batch_deadline is None or batch_deadline > 0):
            raise InputError(
                f"a pool needs workers >= 1, spares >= 0 and positive limits, not {workers} workers, {spares} spares,"
                f" a deadline of {deadline} s, {batch_deadline} s a batch and {memory} MiB"
            )
        self._known = importlib.import_module(module).GRADERS
        self._workers, self._deadline, self._batch_deadline = workers, deadline, batch_deadline
        self._crew = Crew(workers + spares, module=module, memory=memory, deadline=deadline)
        self._close = weakref.finalize(
            self, self._crew.close
        )  # also at exit, should the pool be forgotten

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all processes; the pool cannot be used after that."""
        self._close()

    def grade(self, answers: Sequence[Answer]) -> list[str]:
        """Returns the verdicts alone: "right", "wrong" or "error", in order; the arguments are
        those of `judge`."""
        return [judgment.verdict for judgment in self.judge(answers)]

    def judge(
        self, answers: Sequence[Answer], *, batch_deadline: float | None = _OWN
    ) -> list[Judgment]:
        """Judges answers.

        Args:
          answers: (grader, gold, text) each.
          batch_deadline: seconds for this call, in place of the pool's own.

        Returns:
          A `Judgment` each, in order.

        Raises:
          InputError: if an answer is not three strings, or there is no such grader; nothing is
            judged then.
          RuntimeError: if the pool is closed.
        """
        if not self._close.alive:
            raise RuntimeError("this pool is closed")
        for answer in answers:
            if len(answer) != 3 or not all(isinstance(part, str) for part in answer):
                raise InputError(
                    f"an answer is a grader, a gold and a text, three strings, not {answer!r:.200}"
                )
        for grader in {grader for grader, _, _ in answers} - set(self._known):
            raise InputError(f"grader {grader!r} is none of {', '.join(self._known)}")
        limit = self._batch_deadline if batch_deadline == _OWN else batch_deadline
        batch = Batch(
            self._crew, answers, workers=self._workers, deadline=self._deadline, limit=limit
        )
        return batch.run()
