"""Batch of requests: dispatched to the workers of a pool, one at a time to each, and collected."""

import selectors
import time
from collections import Counter, deque
from collections.abc import Sequence

from papo_jax.grading.final_answer import truncate_to_tail
from papo_jax.grading.judgment import ERROR, TIMEOUT, Judgment
from papo_jax.grading.registry import Reference
from papo_jax.grading.workers.deadlines import Deadlines
from papo_jax.grading.workers.process import WorkerProcess
from papo_jax.grading.workers.worker_set import WorkerSet

Request = tuple[str, Reference, str]  # grader, reference answer or several, completion
WARMUP_SECONDS = 120.0  # for a grader's imports, on a machine that does other things too
MAX_WARMUP_FAILURES = 3  # in a row, after which a grader's requests are abandoned


class Batch:
    """The requests of one call, and their judgments."""

    def __init__(
        self,
        workers: WorkerSet,
        requests: Sequence[Request],
        *,
        concurrency: int,
        deadlines: Deadlines,
    ):
        """Queues the requests by grader.

        Args:
          workers: of the pool.
          requests: to be judged.
          concurrency: how many may be judged at the same time.
          deadlines: of each answer and of the batch.
        """
        self._workers, self._requests = workers, requests
        self._concurrency, self._deadlines = concurrency, deadlines
        self._judgments: dict[int, Judgment] = {}  # by index of the request
        self._queues: dict[str, deque[int]] = {}  # indices of the requests that wait, by grader
        self._postponed: list[int] = []  # indices of the requests that wait for the next pass
        for index, (grader, _, _) in enumerate(requests):
            self._queues.setdefault(grader, deque()).append(index)
        self._warmup_failures: Counter[str] = Counter()  # in a row, by grader
        if len(requests) <= concurrency:
            deadlines.begin_last_pass()  # none waits behind another

    def run(self) -> list[Judgment]:
        """Returns every judgment, in order."""
        self._workers.restart_dead()
        try:
            while self._has_work():
                self._dispatch()
                self._collect_replies()
                self._enforce_deadlines()
        finally:
            # After an interrupt, a process may still be judging: its reply must not be taken for
            # one to the next call.
            for process in self._judging_processes():
                self._workers.replace(process)
        self._warm_up_replacements()
        return [self._judgments[index] for index in range(len(self._requests))]

    def _has_work(self) -> bool:
        """Returns True until every request is judged; begins the next pass at the end of one."""
        if any(self._queues.values()) or self._judging_processes():
            return True
        if self._postponed:
            self._deadlines.begin_next_pass(len(self._postponed), self._concurrency)
        for index in sorted(self._postponed):
            self._queues[self._requests[index][0]].append(index)
        self._postponed.clear()
        return any(self._queues.values())

    def _judging_processes(self) -> list[WorkerProcess]:
        return [process for process in self._workers.processes if process.is_judging]

    def _dispatch(self) -> None:
        """Gives every idle process a request that it is ready for, or else a grader to warm up."""
        for process in list(self._workers.processes):
            if not process.is_idle:
                continue
            waiting = sorted((queue[0], name) for name, queue in self._queues.items() if queue)
            ready = [name for _, name in waiting if name in process.warm_graders]
            cold = [name for _, name in waiting if name not in process.warm_graders]
            if ready and len(self._judging_processes()) < self._concurrency:
                self._send_next(process, ready[0])
            elif cold:
                self._warm_up(process, cold[0])

    def _send_next(self, process: WorkerProcess, grader: str) -> None:
        """Sends a process the next request of a grader."""
        index = self._queues[grader].popleft()
        _, reference, completion = self._requests[index]
        self._deadlines.start_batch()
        process.request_index = index
        message: dict = {"judge": [grader, reference, truncate_to_tail(completion)]}
        if not self._deadlines.is_last_pass:
            message["postpone_after"] = self._deadlines.pass_seconds
        if not process.send_request(message, timeout=self._deadlines.answer_seconds):
            # It was gone before it saw the request, which the next one gets.
            process.request_index = None
            self._queues[grader].appendleft(index)
            self._workers.replace(process)

    def _warm_up(self, process: WorkerProcess, grader: str) -> None:
        process.warming_grader = grader
        if not process.send_request({"warm_up": grader}, timeout=WARMUP_SECONDS):
            self._replace_exited(process)

    def _warm_up_replacements(self) -> None:
        """Lets processes that came too late for this call warm up until the next."""
        graders = [grader for grader in self._queues if not self._warmup_failures[grader]]
        for process in [process for process in self._workers.processes if process.is_idle]:
            cold = [grader for grader in graders if grader not in process.warm_graders]
            if cold:
                self._warm_up(process, cold[0])

    def _collect_replies(self) -> None:
        """Waits until something arrives or a deadline passes."""
        busy = [process for process in self._workers.processes if not process.is_idle]
        with selectors.DefaultSelector() as selector:
            for process in busy:
                selector.register(process, process.selector_events, process)
            others_wait = any(self._queues.values())
            arrived = selector.select(self._deadlines.seconds_left(busy, others_wait=others_wait))
        for key, _ in arrived:
            self._receive(key.data)

    def _receive(self, process: WorkerProcess) -> None:
        """Records what a process replies: a judgment, or how its warm-up went."""
        replies = process.read_replies()
        if replies is None:
            self._replace_exited(process)
            return
        for reply in replies:
            if process.request_index is not None:
                if reply is None:
                    self._postponed.append(process.request_index)
                else:
                    self._judgments[process.request_index] = Judgment(*reply)
                process.request_index = None
            elif process.warming_grader is not None and reply is None:
                process.warm_graders.add(process.warming_grader)
                self._warmup_failures[process.warming_grader] = 0
                process.warming_grader = None
            else:
                self._workers.replace(process)
                self._record_loss(process, reply)

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        if any(self._queues.values()):
            stuck = self._deadlines.kill_stuck(self._workers, now)
            self._postponed += [index for p in stuck if (index := p.request_index) is not None]
        for process in self._deadlines.kill_overdue(self._workers, now):
            self._record_loss(process, TIMEOUT)
        if self._deadlines.is_batch_over(now):
            for index in self._postponed:
                self._judgments[index] = Judgment(ERROR, None, TIMEOUT)
            self._postponed.clear()
            for grader in self._queues:
                self._abandon(grader, TIMEOUT)

    def _replace_exited(self, process: WorkerProcess) -> None:
        ending = self._workers.replace(process, is_exiting=True)
        self._record_loss(process, ending)

    def _record_loss(self, process: WorkerProcess, cause: str) -> None:
        """Records why a process was lost, as the verdict on its request or a failure to warm up.

        The request is not given to another process, for a verdict must not depend on luck: only
        what was too slow for a pass is judged again, with more time.
        """
        if process.request_index is not None:
            self._judgments[process.request_index] = Judgment(ERROR, None, cause)
        elif process.warming_grader is not None:
            self._warmup_failures[process.warming_grader] += 1
            if self._warmup_failures[process.warming_grader] >= MAX_WARMUP_FAILURES:
                reason = f"no process could be made ready for it: {cause}"
                self._abandon(process.warming_grader, reason)

    def _abandon(self, grader: str, reason: str) -> None:
        """Records an error for every request of a grader that still waits."""
        while queue := self._queues[grader]:
            self._judgments[queue.popleft()] = Judgment(ERROR, None, reason)
