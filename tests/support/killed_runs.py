"""Kills runs at random moments until each has come to its end, and compares all they left.

    python -m tests.support.killed_runs DIRECTORY KILLS SEED COMMAND...

COMMAND is a command line of run.py without its work directory. One process imports everything and
is then forked for every attempt, so most kills meet a run that loads, trains, saves or evaluates
and not one that imports. The process that forks computes nothing: JAX has started no thread in it.

It prints how many kills and runs there were, and what differed from a run that was not killed. To
read after a failure, DIRECTORY keeps the work directories.
"""

import os
import pathlib
import signal
import sys
import time
import warnings

import jax
import numpy as np
import orbax.checkpoint as ocp

import run
from papo_jax.commands import train  # noqa: F401  (imports all that a run needs)
from papo_jax.json_files import read_object
from papo_jax.report import report_page  # noqa: F401
from papo_jax.telemetry import runfiles
from papo_jax.training.checkpoints.checkpoint_arrays import STATE
from papo_jax.training.checkpoints.checkpoint_record import read_record

CLOCKED = ("time/", "tokens_per_second")


def main(directory: pathlib.Path, kills: int, seed: int, command: list[str]) -> int:
    """Returns the exit code: 0 if every run is as the one that was not killed."""
    warnings.filterwarnings(
        "ignore", message="os.fork"
    )  # there is no thread that could hold a lock
    rng = np.random.default_rng(seed)
    whole = directory / "whole"
    # The first run of a machine compiles; the second takes the time that all others would.
    for workdir in (whole, directory / "run_0"):
        start = time.monotonic()
        if _attempt(workdir, command) != 0:
            return 1
    seconds = time.monotonic() - start

    killed: list[int] = []  # of every run, how often
    failures = []
    while sum(killed) < kills:
        killed.append(0)
        workdir, code = directory / f"run_{len(killed)}", None
        while code is None:
            # Where the time is longer than the run takes it is no kill: the run comes to its end.
            delay = float(rng.uniform(0, seconds)) if sum(killed) < kills else None
            code = _attempt(workdir, command, kill_after=delay)
            killed[-1] += code is None
        failures += [f"exit code {code} of {workdir}"] if code else []

    # Read when nothing is forked any more, since JAX starts threads now.
    expected = _read_contents(whole)
    for number in range(len(killed) + 1):
        found = _read_contents(directory / f"run_{number}")
        failures += [
            f"{name} of run {number}"
            for name in sorted(expected.keys() | found.keys())
            if not _is_equal(expected.get(name), found.get(name))
        ]
    arrays = sum(isinstance(value, np.ndarray) for value in expected.values())
    print(f"{sum(killed)} kills of {len(killed)} runs; {arrays} arrays and", end=" ")
    print(f"{len(expected) - arrays} other things of each compared", *failures, sep="\n")
    return 1 if failures else 0


def _attempt(
    workdir: pathlib.Path, command: list[str], *, kill_after: float | None = None
) -> int | None:
    """Runs in a process of its own; returns its exit code, None if it was killed before its end."""
    process = os.fork()
    if not process:
        code = 1
        try:
            os.setpgid(0, 0)
            code = run.main(["run.py", f"--workdir={workdir}", *command])
        finally:
            os._exit(code)
    start = time.monotonic()
    while kill_after is None or time.monotonic() - start < kill_after:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def _read_contents(workdir: pathlib.Path) -> dict[str, object]:
    """Reads everything of a run that no clock and no compression decides, by name."""
    contents: dict[str, object] = {
        "metrics.jsonl": [
            {name: value for name, value in row.items() if not name.startswith(CLOCKED)}
            for row in runfiles.read_rows(workdir / "metrics.jsonl")
        ],
        "checkpoints": sorted(os.listdir(workdir / "checkpoints")),
    }
    for name in ("samples.jsonl", "grader_errors.jsonl", "evaluation_samples.jsonl"):
        if (workdir / name).exists():
            contents[name] = (workdir / name).read_bytes()
    evaluation = read_object(workdir / "evaluation.json", missing="no evaluation")
    for entry in evaluation["entries"]:
        entry.pop("seconds")
    contents["evaluation.json"] = evaluation
    for checkpoint in sorted((workdir / "checkpoints").iterdir()):
        contents[f"{checkpoint.name} score"] = read_record(checkpoint).score
        state = ocp.Checkpointer(ocp.StandardCheckpointHandler()).restore(checkpoint / STATE)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            contents[f"{checkpoint.name}{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
    return contents


def _is_equal(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    return left == right


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
