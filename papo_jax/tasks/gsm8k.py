"""GSM8K, grade-school word problems with integer answers, from its JSONL files.

Source: Cobbe et al. 2021, arXiv 2110.14168. A line is {"question": ..., "answer": "reasoning #### 72"}.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from papo_jax.errors import InputError
from papo_jax.grading.graders import canonical_integer
from papo_jax.tasks.arithmetic import split_of
from papo_jax.tasks.problem import Problem

INSTRUCTION = "Reason step by step. End with the final answer, an integer, after ####."


def source_files(path: str | None) -> dict[str, Path]:
    """Finds the files of the data set.

    Args:
      path: a directory that holds train.jsonl and perhaps test.jsonl, or one JSONL file.

    Returns:
      {"train": ..., "held_out": ...}, or {"both": ...} where one file has to serve for both splits.

    Raises:
      InputError: if there is no such file.
    """
    if not path:
        raise InputError(
            "task 'gsm8k' needs its files: set task.path to a JSONL file, "
            "or to a directory with train.jsonl and test.jsonl"
        )
    place = Path(path)
    if place.is_dir():
        train, test = place / "train.jsonl", place / "test.jsonl"
        if not train.is_file():
            raise InputError(f"task.path {path} is a directory without train.jsonl; put it there or name a JSONL file")
        return {"train": train, "held_out": test} if test.is_file() else {"both": train}
    if not place.is_file():
        raise InputError(f"task.path {path} does not exist; it should be a JSONL file or a directory with train.jsonl")
    return {"both": place}


def problems(files: dict[str, Path]) -> dict[str, Sequence[Problem]]:
    """Reads both splits, which never share a question.

    With one file, the text of a question decides its split, so that added or moved lines change no other's. With two,
    a training question that is also in the test file is left out of training.

    Args:
      files: what `source_files` found.

    Returns:
      {"train": problems, "held_out": problems}, in the order of the files, identifiers from 0.

    Raises:
      InputError: if a file cannot be used, with the line that is to blame, or if a split would be empty.
    """
    if "both" in files:
        rows = read(files["both"])
        held_out = [row for row in rows if split_of(_normal(row[0])) == "held_out"]
        train = [row for row in rows if split_of(_normal(row[0])) == "train"]
    else:
        held_out = read(files["held_out"])
        taken = {_normal(question) for question, _ in held_out}
        train = [row for row in read(files["train"]) if _normal(row[0]) not in taken]
    for name, rows in (("train", train), ("held_out", held_out)):
        if not rows:
            raise InputError(
                f"task.path leaves no problem for the split {name!r}; "
                "give more problems, or a directory with train.jsonl and test.jsonl that do not overlap"
            )
    return {"train": _numbered(train), "held_out": _numbered(held_out)}


def read(path: Path) -> list[tuple[str, str]]:
    """Reads a JSONL file; only the end of the file may be blank.

    Args:
      path: the file.

    Returns:
      (question, gold answer) pairs; golds are canonical integers.

    Raises:
      InputError: names the file, the line and the reason.
    """
    rows = []
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); task.path should name readable files") from error
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_row(line))
        except (ValueError, RecursionError) as error:
            reason = f"{error}".splitlines()[0][:200] if line.strip() else "the line is empty; remove it"
            raise InputError(f"{path}, line {number}: {reason}") from error
    if not rows:
        raise InputError(f"{path}, line 1: the file is empty; each line should be an object with question and answer")
    return rows


def _row(line: bytes) -> tuple[str, str]:
    """Parses one line; a ValueError says what is wrong with it."""
    try:
        record = json.loads(line.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object; it should have the fields question and answer")
    for field in ("question", "answer"):
        if not isinstance(record.get(field), str) or not record[field].strip():
            raise ValueError(f"the field {field!r} is missing, empty or not text")
    record["question"].encode()  # a lone surrogate cannot be stored
    _, mark, gold = record["answer"].rpartition("####")
    if not mark:
        raise ValueError("the answer has no '####' before its final integer")
    answer = canonical_integer(gold)
    if answer is None:
        raise ValueError(f"what follows '####' should be an integer, not {gold.strip()[:40]!r}")
    return record["question"].strip(), answer


def _normal(question: str) -> str:
    """The text by which two questions count as one: white space does not matter."""
    return " ".join(question.split())


def _numbered(rows: list[tuple[str, str]]) -> list[Problem]:
    return [Problem(i, f"{question}\n{INSTRUCTION}", answer) for i, (question, answer) in enumerate(rows)]
