"""Rows and documents of a work directory: a kill, damage, and the rows that a resume keeps."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax.telemetry import runfiles


def test_rows_come_back_in_order(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": 0, "reward/mean": 0.1}, {"step": 1, "text": "a\nb \u2028 c"}]
    for row in rows:
        runfiles.append_row(path, row)
    assert runfiles.read_rows(path) == rows
    assert path.read_bytes().count(b"\n") == 2  # one line each, whatever the text holds


def test_a_missing_file_holds_no_rows(tmp_path):
    assert runfiles.read_rows(tmp_path / "metrics.jsonl") == []
    runfiles.keep_rows_before(tmp_path / "metrics.jsonl", 3)
    assert list(tmp_path.iterdir()) == []


def test_a_torn_last_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n{"step": 1, "entr')
    assert runfiles.read_rows(path) == [{"step": 0}]


def test_a_last_line_without_its_newline_is_whole(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n{"step": 1}')
    assert runfiles.read_rows(path) == [{"step": 0}, {"step": 1}]


@pytest.mark.parametrize("line", [b'{"step": 1', b"[1]", b"\xff\xfe"])
def test_damage_inside_a_file_is_an_error_with_its_line(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n' + line + b'\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 2"):
        runfiles.read_rows(path)
    with pytest.raises(ValueError, match="line 2"):
        runfiles.keep_rows_before(path, 2)


def test_a_complete_damaged_last_line_is_not_torn(tmp_path):
    # The newline was written, so no kill cut this line short.
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\nnonsense\n')
    with pytest.raises(ValueError, match="line 2"):
        runfiles.read_rows(path)


def test_numbers_that_json_lacks_become_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    values = {
        "a": float("nan"),
        "b": float("-inf"),
        "c": np.float32("nan"),
        "d": [1.0, float("inf")],
    }
    runfiles.append_row(path, values)
    assert path.read_text() == '{"a": null, "b": null, "c": null, "d": [1.0, null]}\n'


def test_arrays_become_numbers_and_lists(tmp_path):
    path = tmp_path / "metrics.jsonl"
    runfiles.append_row(
        path, {"a": jnp.float32(0.5), "b": np.arange(3), "c": np.int64(7), "d": np.bool_(True)}
    )
    assert runfiles.read_rows(path) == [{"a": 0.5, "b": [0, 1, 2], "c": 7, "d": True}]


def test_a_resume_keeps_each_step_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n{"step": 1, "x": 1e-07}\n{"step": 2}\n{"step": 3}\n{"st')
    runfiles.keep_rows_before(path, 2)
    assert (
        path.read_bytes() == b'{"step": 0}\n{"step": 1, "x": 1e-07}\n'
    )  # kept lines keep their bytes
    runfiles.append_row(path, {"step": 2})
    assert [row["step"] for row in runfiles.read_rows(path)] == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_document_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "config.json"
    runfiles.write_json(path, {"b": 1, "a": {"c": float("nan"), "path": tmp_path}})
    assert path.read_text().startswith('{\n  "b": 1,\n  "a": {\n    "c": null')
    with pytest.raises(TypeError):
        runfiles.write_json(path, {"b": object()})
    assert json.loads(path.read_text())["b"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    kept = [
        f".config.json.{os.getppid()}.tmp",  # of a process that runs
        f".other.json.{ended.pid}.tmp",
        ".config.json.notes.tmp",
        "config.json",
    ]
    for name in [f".config.json.{ended.pid}.tmp", *kept]:
        (tmp_path / name).write_text("half")
    runfiles.write_json(tmp_path / "config.json", {})
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
