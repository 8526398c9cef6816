"""Answers on their way through the processes of a pool: one at a time in each, every one against
the clock."""

import selectors
import time
from collections import Counter, deque
from collections.abc import Sequence

from papo_jax.grading.final_answer import cut
from papo_jax.grading.judgment import ERROR, TIMEOUT, Judgment
from papo_jax.grading.workers.crew import Crew
from papo_jax.grading.workers.process import Process

Answer = tuple[str, str, str]  # grader, gold, text
WARMING = 120.0  # seconds that a grader may take to import what it needs, on a machine that does other things too
FAILURES = 3  # processes lost while a grader was made ready, after which its answers are given up


class Batch:
    """The answers of one call."""

    def __init__(
        self,
        crew: Crew,
        answers: Sequence[Answer],
        *,
        workers: int,
        deadline: float,
        limit: float | None,
    ):
        """Takes them in hand.

        Args:
          crew: of the pool.
          answers: to be judged.
          workers: how many may be judged at the same time.
          deadline: seconds an answer.
          limit: seconds for all, from the first that is begun; None for none.
        """
        self._crew, self._answers, self._workers, self._deadline, self._limit = (
            crew,
            answers,
            workers,
            deadline,
            limit,
        )
        self._found: list[Judgment | None] = [None] * len(answers)
        self._waiting: dict[str, deque[int]] = {}
        for place, (grader, _, _) in enumerate(answers):
            self._waiting.setdefault(grader, deque()).append(place)
        self._failed = (
            Counter()
        )  # processes lost in a row, by the grader that they were made ready for
        self._end: float | None = None  # of the whole batch, once it has begun

    def run(self) -> list[Judgment]:
        """Returns every judgment, in order."""
        self._crew.renew()
        try:
            while any(self._waiting.values()) or self._judging():
                self._give_out()
                self._listen()
                self._look_at_the_clock()
        finally:  # after an interrupt, a process may still judge: what it says must not be taken for the next call's
            for process in self._judging():
                self._crew.lose(process)
        self._prepare()
        return self._found

    def _judging(self) -> list[Process]:
        return [process for process in self._crew.processes if process.item is not None]

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if self._end is not None and now >= self._end:
            self._finish(TIMEOUT)
            return
        for process in [
            process for process in self._crew.processes if not process.idle and now >= process.due
        ]:
            self._lose(process, TIMEOUT)

    def _give_out(self) -> None:
        """Gives every idle process something to do: an answer it is ready for, or else to become
        ready."""
        for process in list(self._crew.processes):
            if not process.idle:
                continue
            waiting = sorted((places[0], name) for name, places in self._waiting.items() if places)
            grader = next((name for _, name in waiting if name in process.warmed), None)
            cold = next((name for _, name in waiting if name not in process.warmed), None)
            if grader is not None and len(self._judging()) < self._workers:
                self._send(process, grader)
            elif cold is not None:
                self._warm(process, cold)

    def _warm(self, process: Process, grader: str) -> None:
        process.warming = grader
        if not process.ask({"warm": grader}, within=WARMING):
            self._lose(process, None)

    def _send(self, process: Process, grader: str) -> None:
        place = self._waiting[grader].popleft()
        _, gold, text = self._answers[place]
        if self._end is None and self._limit is not None:
            self._end = time.monotonic() + self._limit
        process.item = place
        if not process.ask({"item": [grader, gold, cut(text)]}, within=self._deadline):
            process.item = None  # it was gone before it saw the answer, which the next one gets
            self._waiting[grader].appendleft(place)
            self._crew.lose(process)

    def _listen(self) -> None:
        """Waits until something arrives or is due."""
        watched = [process for process in self._crew.processes if not process.idle]
        ends = [process.due for process in watched] + ([] if self._end is None else [self._end])
        with selectors.DefaultSelector() as selector:
            for process in watched:
                selector.register(process, process.events)
            ready = selector.select(max(0.0, min(ends, default=0.0) - time.monotonic()))
        for key, _ in ready:
            self._hear(key.fileobj)

    def _hear(self, process: Process) -> None:
        replies = process.replies()
        if replies is None:
            self._lose(process, None)
            return
        for reply in replies:
            if process.warming is None:
                self._found[process.item] = Judgment(*reply)
                process.item = None
            elif reply is None:
                process.warmed.add(process.warming)
                self._failed[process.warming] = 0
                process.warming = None
            else:
                self._lose(process, reply)

    def _lose(self, process: Process, reason: str | None) -> None:
        """Kills a process; its answer is not given to another, for a verdict must not depend on
        luck."""
        ended = self._crew.lose(process, leaving=reason is None)
        cause = reason or ended
        if process.item is not None:
            self._found[process.item] = Judgment(ERROR, None, cause)
        elif process.warming is not None:
            self._failed[process.warming] += 1
            if self._failed[process.warming] >= FAILURES:
                self._give_up(process.warming, f"no process could be made ready for it: {cause}")

    def _give_up(self, grader: str, reason: str) -> None:
        while places := self._waiting[grader]:
            self._found[places.popleft()] = Judgment(ERROR, None, reason)

    def _prepare(self) -> None:
        """Has new processes, which came too late for this call, become ready until the next."""
        graders = [grader for grader in self._waiting if not self._failed[grader]]
        for process in [process for process in self._crew.processes if process.idle]:
            cold = next((grader for grader in graders if grader not in process.warmed), None)
            if cold is not None:
                self._warm(process, cold)

    def _finish(self, reason: str) -> None:
        """Ends what is left of the batch."""
        for process in self._judging():
            self._lose(process, reason)
        for grader in self._waiting:
            self._give_up(grader, reason)
