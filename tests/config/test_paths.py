"""Paths of flags: what no shell has expanded, and what is empty."""

import pathlib

import pytest

from papo_jax.config.command_line import parse_command_line
from papo_jax.config.local_paths import parse_path
from papo_jax.errors import InputError
from papo_jax.tasks import load


def test_a_tilde_is_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    command = parse_command_line(["run.py", "--workdir=~/runs/a"])
    assert command.workdir == tmp_path / "runs/a"
    assert parse_path("--output", "a/~b") == pathlib.Path("a/~b")


def test_a_command_without_a_flag_takes_the_default_directory():
    assert parse_command_line(["run.py"]).workdir == pathlib.Path("runs/default")


def test_files_of_a_task_may_be_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    rows = (f'{{"prompt": "{n}?", "answer": {n}}}\n' for n in range(30))
    (tmp_path / "own.jsonl").write_text("".join(rows))
    assert load("jsonl", path="~/own.jsonl", cache=tmp_path / "cache").name == "jsonl"


@pytest.mark.parametrize("flags", [["--workdir="], ["--workdir", " "], ["--output="]])
def test_an_empty_path_is_not_the_current_directory(flags):
    with pytest.raises(InputError, match="is empty; name a directory"):
        parse_command_line(["run.py", "--mode=evaluate", *flags])


def test_a_home_that_nobody_has():
    with pytest.raises(InputError, match="--workdir ~nobody-has-this-name/x begins with a home"):
        parse_path("--workdir", "~nobody-has-this-name/x")
