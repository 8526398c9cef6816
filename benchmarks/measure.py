"""Measures one system in this process, on one CPU core; prints one line of JSON.

    python -m benchmarks.measure papo [--rounds=3] [--work='{"new_tokens": 64}']

Seconds are those of the process's CPU time, user and system, from `getrusage`; the median over the
rounds. Memory is the process's peak, compilation included.
"""

import argparse
import importlib
import json
import os
import resource
import statistics
import time
from collections.abc import Callable

from benchmarks.work import Work


def measure_phases(phases: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Calls phases in turn, once for warming up and then `rounds` times; returns their medians."""
    seconds = {name: [] for name in phases}
    for index in range(rounds + 1):
        for name, phase in phases.items():
            before = time.process_time()
            phase()
            if index:
                seconds[name].append(time.process_time() - before)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure_matrix_product(size: int = 2048) -> float:
    """Measures float32 matrix products of NumPy on this core, in operations a second."""
    import numpy as np

    left = np.random.default_rng(0).standard_normal((size, size), np.float32)
    seconds = measure_phases({"product": lambda: np.matmul(left, left)}, rounds=5)["product"]
    return 2 * size**3 / seconds


def main() -> None:
    """Measures the system that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", help="a module of benchmarks.systems")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=json.loads, default={})
    arguments = parser.parse_args()

    # Before anything is imported that counts the cores, and makes as many threads.
    os.environ["OMP_NUM_THREADS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    work = Work(**arguments.work)
    system = importlib.import_module(f"benchmarks.systems.{arguments.system}")
    phases = measure_phases(system.make_phases(work), arguments.rounds)
    print(
        json.dumps(
            {
                **phases,
                "iteration": sum(phases.values()),
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "operations_a_second": measure_matrix_product(),
                "versions": system.versions(),
            }
        )
    )


if __name__ == "__main__":
    main()
