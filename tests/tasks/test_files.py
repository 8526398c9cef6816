"""Rows out of JSON lines, JSON and parquet, and one line for whatever is wrong with a file."""

import json
import sys

import pytest

from papo_jax.errors import InputError
from papo_jax.tasks.files import digest, read, rows, scalar, text


def parquet(path, table):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), path, row_group_size=2)
    return path


def written(path, content):
    path.write_bytes(content)
    return path


ROWS = [
    {"question": "1+1?", "answer": "2"},
    {"question": "π?", "answer": "3.14"},
    {"question": "c", "answer": "x"},
]


def test_the_three_formats_hold_the_same(tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    found = [
        list(rows(written(tmp_path / "a.jsonl", lines))),
        list(rows(written(tmp_path / "a.json", json.dumps(ROWS, indent=1).encode()))),
        list(rows(parquet(tmp_path / "a.parquet", ROWS))),
    ]
    assert [[dict(row.fields) for row in one] for one in found] == [ROWS] * 3
    assert [one[2].place for one in found] == [
        f"{tmp_path}/a.jsonl, line 3",
        f"{tmp_path}/a.json, row 3",
        f"{tmp_path}/a.parquet, row 3",
    ]


def test_a_json_file_may_be_one_object(tmp_path):
    path = written(tmp_path / "7.json", b'{"problem": "p"}')
    assert [(row.place, row.fields) for row in rows(path)] == [(f"{path}, row 1", {"problem": "p"})]


def test_marks_and_ends_of_windows_files(tmp_path):
    path = written(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"q": 1}\r\n{"q": 2}\r\n\r\n \n')
    assert [row.fields for row in rows(path)] == [{"q": "1"}, {"q": "2"}]


def test_numbers_keep_their_digits():
    # 2^53 + 1 is no float, and 3.50 keeps its last digit.
    fields = json.loads('{"a": 9007199254740993, "b": true, "c": 27.0}')
    assert [scalar(fields, name) for name in "ac"] == ["9007199254740993", "27.0"]
    with pytest.raises(ValueError, match="'b' is missing, empty or not text"):
        scalar(fields, "b")


def test_numbers_of_json_files_are_no_text(tmp_path):
    path = written(tmp_path / "a.jsonl", b'{"answer": 3.50, "question": 12345678901234567890123}\n')
    assert [found for _, found in read([path], lambda fields: scalar(fields, "answer"))] == ["3.50"]
    with pytest.raises(
        InputError, match="'question' is missing, empty or not text; the row has answer, question"
    ):
        list(read([path], lambda fields: text(fields, "question")))


def test_the_first_field_that_is_there_counts():
    assert text({"question": None, "Problem": "p"}, "question", "Problem") == "p"
    with pytest.raises(
        ValueError,
        match="the field 'question' or 'Problem' is missing, empty or not text; the row has id",
    ):
        text({"id": 4}, "question", "Problem")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"q": "1"}\n{', "line 2: not JSON .* at column 2"),
        ("a.jsonl", b'{"q": "1"}\n\n{"q": "2"}\n', "line 2: the line is empty; remove it"),
        ("a.jsonl", b'{"q": "1"}\n' + b"[" * 100_000, "line 2: "),
        ("a.jsonl", b'{"q": "1"}\n7\n', "line 2: not a JSON object"),
        ("a.jsonl", b'{"q": "1"}\n{"q": NaN}\n', "line 2: not JSON .NaN is no number there"),
        ("a.jsonl", b'{"q": "1"}\n{"q": "\\ud800"}\n', "line 2: .*surrogate"),
        (
            "a.jsonl",
            b'{"q": "1"}\n{"q": " "}\n',
            "line 2: the field 'q' is missing, empty or not text",
        ),
        ("a.jsonl", b'{"q": "1"}\n\xff\n', "line 2: .*utf-8"),
        ("a.jsonl", b"", "line 1: the file is empty"),
        ("a.jsonl", b"\n\n", "line 1: the file is empty"),
        ("a.json", b'[{"q": "1"}, 8]', "row 2: not a JSON object"),
        (
            "a.json",
            b'{"q": "1"}\n{"q": "2"}\n',
            "row 1: not JSON .*; one object a line belongs into a .jsonl file",
        ),
        ("a.json", b'[{"q": "1"},\n x]', "row 1: not JSON .* at line 2, column 2"),
        ("a.json", b"[]", "row 1: the file is empty"),
        ("a.csv", b"q\n1\n", "should end in .jsonl, .json, .parquet"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, name, content, message):
    path = written(tmp_path / name, content)
    with pytest.raises(InputError, match=f"{name}.*{message}") as caught:
        list(read([path], lambda fields: text(fields, "q")))
    assert "\n" not in str(caught.value)


def test_broken_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match="a.parquet, row 1: ") as caught:
        list(rows(written(tmp_path / "a.parquet", b"PAR1 and no more")))
    assert "\n" not in str(caught.value)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        list(rows(written(tmp_path / "a.parquet", b"")))


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match="gone.jsonl cannot be read .No such file"):
        list(rows(tmp_path / "gone.jsonl"))
    with pytest.raises(InputError, match="gone.jsonl cannot be read .No such file"):
        digest([tmp_path / "gone.jsonl"])


def test_the_digest_follows_contents_and_names(tmp_path):
    first, second = written(tmp_path / "a.jsonl", b"1"), written(tmp_path / "b.jsonl", b"1")
    assert (
        len({digest([first]), digest([second]), digest([first, second]), digest([second, first])})
        == 4
    )
    before = digest([first])
    written(first, b"2")
    assert digest([first]) != before
