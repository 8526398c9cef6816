"""Pool of worker processes: no completion can stall a run, crash it, or run as code in it."""

import importlib
import math
import weakref
from collections.abc import Sequence

from papo_jax.errors import InputError
from papo_jax.grading import registry
from papo_jax.grading.judgment import Judgment
from papo_jax.grading.workers.batch import Batch, Request
from papo_jax.grading.workers.deadlines import Deadlines
from papo_jax.grading.workers.worker_set import WorkerSet

_POOL_DEFAULT = -1.0  # stands for the pool's own batch deadline


class Pool:
    """Worker processes that judge completions, and warm spares that replace killed ones.

    A completion has `deadline` seconds from when a process is ready for it; then the process is
    killed and the verdict is "error" for "timeout". What takes more than a small part of that is
    stopped and judged again when all else is judged (`deadlines`), so that nothing waits behind
    completions that hang. A pool belongs to one thread at a time.

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
        module: str = registry.__name__,
    ):
        """Starts the processes.

        Args:
          workers: completions judged at the same time.
          deadline: seconds a completion.
          batch_deadline: seconds for all completions of a call, from when the first process is
            ready; None for no bound but the sum of the completions' own deadlines.
          memory: MiB a process.
          spares: processes that wait to replace a killed one.
          module: name of the module with `GRADERS`, `judge` and `warm_up`.

        Raises:
          InputError: if a number is out of range.
        """
        is_possible = workers >= 1 and spares >= 0 and memory >= 1 and 0 < deadline < math.inf
        if not is_possible or not (batch_deadline is None or batch_deadline > 0):
            raise InputError(
                "a pool needs workers >= 1, spares >= 0 and positive limits, not"
                f" {workers} workers, {spares} spares, a deadline of {deadline} s,"
                f" {batch_deadline} s a batch and {memory} MiB"
            )
        self._graders: Sequence[str] = importlib.import_module(module).GRADERS
        self._concurrency, self._deadline = workers, deadline
        self._batch_deadline = batch_deadline
        self._workers = WorkerSet(workers + spares, module=module, memory=memory, deadline=deadline)
        # Also at exit, should the pool be forgotten.
        self._close = weakref.finalize(self, self._workers.close)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all processes; the pool cannot be used after that."""
        self._close()

    def grade(self, requests: Sequence[Request]) -> list[str]:
        """Returns the verdicts alone, in order; the arguments are `judge`'s."""
        return [judgment.verdict for judgment in self.judge(requests)]

    def judge(
        self, requests: Sequence[Request], *, batch_deadline: float | None = _POOL_DEFAULT
    ) -> list[Judgment]:
        """Judges completions.

        Args:
          requests: (grader, reference answer, completion) each; in place of the reference answer
            a list or a tuple of several, of which any is right.
          batch_deadline: seconds for this call, in place of the pool's own.

        Returns:
          A `Judgment` each, in order.

        Raises:
          InputError: if a request is not three strings, or there is no such grader; nothing is
            judged then.
          RuntimeError: if the pool is closed.
        """
        if not self._close.alive:
            raise RuntimeError("this pool is closed")
        self._check_requests(requests)
        if batch_deadline == _POOL_DEFAULT:
            batch_deadline = self._batch_deadline
        deadlines = Deadlines(answer_seconds=self._deadline, batch_seconds=batch_deadline)
        batch = Batch(self._workers, requests, concurrency=self._concurrency, deadlines=deadlines)
        return batch.run()

    def _check_requests(self, requests: Sequence[Request]) -> None:
        for request in requests:
            if len(request) != 3 or not _are_strings(_parts_of(request)):
                raise InputError(
                    "a request is a grader, a reference answer and a completion, three strings,"
                    f" not {request!r:.200}"
                )
        for grader in {grader for grader, _, _ in requests} - set(self._graders):
            raise InputError(f"grader {grader!r} is none of {', '.join(self._graders)}")


def _parts_of(request: Request) -> list:
    """Lists the texts of a request, whose reference may be several."""
    grader, reference, completion = request
    several = list(reference) if isinstance(reference, (list, tuple)) and reference else [reference]
    return [grader, *several, completion]


def _are_strings(parts: list) -> bool:
    return all(isinstance(part, str) for part in parts)
