"""Rows out of JSON lines, JSON and parquet, and one line for whatever is wrong with a file."""

import decimal
import json
import sys

import numpy as np
import pytest

from papo_jax.errors import InputError
from papo_jax.tasks.reading.files import (
    digest_files,
    parse_rows,
    read_rows,
    read_text,
    read_text_or_number,
    read_texts_or_numbers,
)
from papo_jax.tasks.reading.number_text import Number, write_numbers


def write_parquet(path, table):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(table), path, row_group_size=2)
    return path


def write_bytes(path, content):
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
        list(read_rows(write_bytes(tmp_path / "a.jsonl", lines))),
        list(read_rows(write_bytes(tmp_path / "a.json", json.dumps(ROWS, indent=1).encode()))),
        list(read_rows(write_parquet(tmp_path / "a.parquet", ROWS))),
    ]
    assert [[dict(row.fields) for row in one] for one in found] == [ROWS] * 3
    assert [one[2].location for one in found] == [
        f"{tmp_path}/a.jsonl, line 3",
        f"{tmp_path}/a.json, row 3",
        f"{tmp_path}/a.parquet, row 3",
    ]


def test_a_json_file_may_be_one_object(tmp_path):
    path = write_bytes(tmp_path / "7.json", b'{"problem": "p"}')
    assert [(row.location, row.fields) for row in read_rows(path)] == [
        (f"{path}, row 1", {"problem": "p"})
    ]


def test_marks_and_ends_of_windows_files(tmp_path):
    path = write_bytes(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"q": 1}\r\n{"q": 2}\r\n\r\n \n')
    assert [row.fields for row in read_rows(path)] == [{"q": "1"}, {"q": "2"}]


def test_numbers_keep_their_digits():
    # 2^53 + 1 is no float, and 3.50 keeps its last digit.
    fields = json.loads('{"a": 9007199254740993, "b": true, "c": 27.0}')
    assert [read_text_or_number(fields, name) for name in "ac"] == ["9007199254740993", "27.0"]
    with pytest.raises(ValueError, match="'b' is missing, empty or not text"):
        read_text_or_number(fields, "b")


def test_numbers_of_json_files_are_no_text(tmp_path):
    path = write_bytes(
        tmp_path / "a.jsonl", b'{"answer": 3.50, "question": 12345678901234567890123}\n'
    )
    parsed = parse_rows([path], lambda fields: read_text_or_number(fields, "answer"))
    assert [found for _, found in parsed] == ["3.50"]
    with pytest.raises(
        InputError, match="'question' is missing, empty or not text; the row has answer, question"
    ):
        list(parse_rows([path], lambda fields: read_text(fields, "question")))


def test_the_first_field_that_is_there_counts():
    assert read_text({"question": None, "Problem": "p"}, "question", "Problem") == "p"
    with pytest.raises(
        ValueError,
        match="the field 'question' or 'Problem' is missing, empty or not text; the row has id",
    ):
        read_text({"id": 4}, "question", "Problem")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"q": "1"}\n{', "line 2: not JSON .* at column 2"),
        ("a.jsonl", b'{"q": "1"}\n{"q":\n{}\n', "line 2: not JSON .Expecting value at column 6.$"),
        ("a.jsonl", b'{"q": "1"}\n{"q"\r\n', "line 2: not JSON .Expecting .*:.* at column 5.$"),
        ("a.jsonl", b'{"q": "1"}\n{"q": "a\n', "line 2: not JSON .Unterminated string"),
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
        (
            "a.jsonl",
            b'{"q": "1"}\n{"q": "2", "q": "3"}\n',
            "line 2: the key 'q' comes twice; remove one of the two",
        ),
        ("a.json", b'[{"q": "1", "x": {"y": 1, "y": 1}}]', "row 1: the key 'y' comes twice"),
        ("a.csv", b"q\n1\n", "should end in .jsonl, .json, .parquet"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, name, content, message):
    path = write_bytes(tmp_path / name, content)
    with pytest.raises(InputError, match=f"{name}.*{message}") as caught:
        list(parse_rows([path], lambda fields: read_text(fields, "q")))
    assert "\n" not in str(caught.value)


def test_broken_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match="a.parquet, row 1: ") as caught:
        list(read_rows(write_bytes(tmp_path / "a.parquet", b"PAR1 and no more")))
    assert "\n" not in str(caught.value)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        list(read_rows(write_bytes(tmp_path / "a.parquet", b"")))


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match="gone.jsonl cannot be read .No such file"):
        list(read_rows(tmp_path / "gone.jsonl"))
    with pytest.raises(InputError, match="gone.jsonl cannot be read .No such file"):
        digest_files([tmp_path / "gone.jsonl"])


def test_the_digest_follows_contents_and_names(tmp_path):
    first, second = write_bytes(tmp_path / "a.jsonl", b"1"), write_bytes(tmp_path / "b.jsonl", b"1")
    listings = ([first], [second], [first, second], [second, first])
    assert len({digest_files(paths) for paths in listings}) == 4
    before = digest_files([first])
    write_bytes(first, b"2")
    assert digest_files([first]) != before


def read_answers(path):
    return [read_texts_or_numbers(row.fields, "answer") for row in read_rows(path)]


@pytest.mark.parametrize(
    ("kind", "values", "texts"),
    [
        ("float32", [0.1, 27.0, -2.5e-8, 16777216.0], ["0.1", "27.0", "-2.5e-08", "16777216.0"]),
        ("float16", [0.1, 3.0], ["0.1", "3.0"]),
        ("float64", [0.1, 1e22, 1 / 3], ["0.1", "1e+22", "0.3333333333333333"]),
        ("int8", [-7, 0], ["-7", "0"]),
        ("uint64", [2**64 - 1], ["18446744073709551615"]),
        ("decimal128", ["0.10", "12345678901234567890.5"], ["0.10", "12345678901234567890.50"]),
        ("large_string", ["a", "1"], ["a", "1"]),
    ],
)
def test_numbers_of_parquet_have_the_digits_of_their_type(tmp_path, kind, values, texts):
    pyarrow = pytest.importorskip("pyarrow")
    if kind == "decimal128":
        column = pyarrow.array(
            [decimal.Decimal(text) for text in values], pyarrow.decimal128(30, 2)
        )
    elif kind == "float16":
        column = pyarrow.array(np.float16(values))
    else:
        column = pyarrow.array(values, getattr(pyarrow, kind)())
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"answer": column}), path)
    assert read_answers(path) == [(text,) for text in texts]


def test_lists_of_numbers_of_parquet_are_several_answers(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    column = pyarrow.array([[0.1, 0.2], [3.0]], pyarrow.list_(pyarrow.float32()))
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"answer": column}), path)
    assert read_answers(path) == [("0.1", "0.2"), ("3.0",)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_of_parquet_that_is_none_is_refused_where_it_is_used(tmp_path, value):
    """A column of numbers with a hole is not one of texts; columns not read may have one."""
    path = write_parquet(tmp_path / "a.parquet", [{"q": "1", "answer": 2.0, "x": value}] * 3)
    assert read_answers(path) == [("2.0",)] * 3
    path = write_parquet(
        tmp_path / "b.parquet", [{"answer": 2.0}, {"answer": value}, {"answer": 3.0}]
    )
    with pytest.raises(InputError, match=f"b.parquet, row 2: the field 'answer' is {value}, which"):
        list(parse_rows([path], lambda fields: read_texts_or_numbers(fields, "answer")))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (float(np.float32(0.1)), "float", "0.1"),
        (float(np.float32(1 / 3)), "float", "0.33333334"),
        (float(np.finfo(np.float32).max), "float", "3.4028235e+38"),
        (-27.0, "float", "-27.0"),
        (0.0, "float", "0.0"),
        (float(np.float16(0.1)), "halffloat", "0.1"),
        (float(np.finfo(np.float16).max), "list<element: halffloat>", "65500.0"),
        (0.1, "double", "0.1"),
        (0.30000000000000004, "double", "0.30000000000000004"),
        (decimal.Decimal("1E+3"), "decimal128(5, 0)", "1000"),
        (7, "int64", "7"),
    ],
)
def test_a_number_has_the_fewest_digits_of_its_width(value, kind, text):
    found = write_numbers(value, kind)
    assert found == text and isinstance(found, Number)


@pytest.mark.parametrize("value", [True, None, "1", float("inf")])
def test_what_is_no_number_stays(value):
    assert write_numbers(value, "double") is value
