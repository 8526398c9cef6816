"""Compares what an iteration costs: rollout, statistics under the old policy, one update.

    python -m benchmarks.iteration [--systems=papo,torch_plain] [--rounds=3] [--repeats=1]
    [--work='{"new_tokens": 64}']

Each system runs in a process of its own, on one CPU core, one after another; `--repeats` goes over
all of them again, and the medians are shown. A system whose packages are not installed is left out.
"Of the floor" is the time against that of the matrix products that nobody can do without, at the
speed that a plain one reached in the same process.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys

from benchmarks.work import Work

PACKAGES = {"papo": ("jax",), "torch_plain": ("torch", "transformers")}  # of each system
COLUMNS = ("rollout", "statistics", "update", "iteration")


def measure_system(system: str, rounds: int, work: dict[str, int]) -> dict:
    """Measures a system in a process of its own; returns what `benchmarks.measure` printed."""
    command = [sys.executable, "-m", "benchmarks.measure", system]
    command += [f"--rounds={rounds}", f"--work={json.dumps(work)}"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def take_medians(results: list[dict]) -> dict:
    """Takes the median of every figure over the repeats."""
    return {
        name: value if isinstance(value, str) else statistics.median(r[name] for r in results)
        for name, value in results[0].items()
    }


def format_table(figures: dict[str, dict], work: Work) -> str:
    """Formats the figures of each system: CPU seconds, ratios to papo_jax, memory."""
    lines = [
        f"| system | {' | '.join(COLUMNS)} | of papo_jax's | of the floor | peak memory | speed |",
        "|---" * (len(COLUMNS) + 5) + "|",
    ]
    ours = figures.get("papo", {}).get("iteration")
    for system, found in figures.items():
        floor = work.floating_point_operations / found["operations_a_second"]
        seconds = " | ".join(f"{found[name]:.2f}" for name in COLUMNS)
        ratio = f"{found['iteration'] / ours:.2f}" if ours else ""
        lines.append(
            f"| {system} ({found['versions']}) | {seconds} | {ratio}"
            f" | {found['iteration'] / floor:.2f} | {found['peak_bytes'] / 1e9:.2f} GB"
            f" | {found['operations_a_second'] / 1e9:.0f} GFLOP/s |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures the systems that the command line names and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--systems", default=",".join(PACKAGES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--work", type=json.loads, default={})
    arguments = parser.parse_args()

    results: dict[str, list[dict]] = {}
    for _ in range(arguments.repeats):
        for system in arguments.systems.split(","):
            missing = [name for name in PACKAGES[system] if not importlib.util.find_spec(name)]
            if missing:
                print(f"{system} is left out: {', '.join(missing)} is not installed")
                continue
            found = measure_system(system, arguments.rounds, arguments.work)
            results.setdefault(system, []).append(found)
    medians = {system: take_medians(found) for system, found in results.items()}
    print(format_table(medians, Work(**arguments.work)))


if __name__ == "__main__":
    main()
