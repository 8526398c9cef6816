"""kill -9 at random moments: the run that goes on is the run that was never killed."""

import pathlib
import subprocess
import sys

import pytest

import run
from tests.support.seeds import SEED

KILLS = 20


@pytest.mark.slow
def test_killed_runs_end_as_the_one_that_was_not(command_line, tmp_path):
    settings = {
        "training.steps": 12,
        "checkpoint.every": 2,
        "evaluation.every": 3,
        "diagnostics.every": 0,
    }
    flags = [flag for flag in command_line(tmp_path, settings)[1:] if "--workdir" not in flag]
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.killed_runs",
            tmp_path,
            str(KILLS),
            str(SEED),
            *flags,
        ],
        cwd=pathlib.Path(run.__file__).parent,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.splitlines()[-1].startswith(f"{KILLS} kills of ")
    assert "Traceback" not in process.stderr
