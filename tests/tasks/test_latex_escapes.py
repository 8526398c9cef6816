r"""Commands of LaTeX that lost their backslash: refused with their line, and nothing else is."""

import json

import pytest

from papo_jax.errors import InputError
from papo_jax.tasks import load
from papo_jax.tasks.reading.latex_escapes import check_latex_escapes

COMMANDS = r"""
\times \text{x} \theta \tan \tfrac12 \triangle \to \boxed{3} \beta \bar \binom{3}{1} \frac12 \forall
\rho \right) \rangle \neq \notin \nabla \leq
""".split()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_with_one_backslash_is_refused(command):
    try:
        torn = json.loads(f'"2 {command} 3"')
    except ValueError:  # JSON knows no such escape, and says so
        assert command == r"\leq"
        return
    with pytest.raises(ValueError, match="a control character is directly before"):
        check_latex_escapes(torn)
    check_latex_escapes(json.loads(json.dumps(f"2 {command} 3")))


@pytest.mark.parametrize("torn", ["\alpha", "\vec x", "\x00a", "\x1b[2J or \x1bc", "\x7fa"])
def test_so_are_pythons_escapes_and_other_controls(torn):
    with pytest.raises(ValueError, match="directly before"):
        check_latex_escapes(torn)


@pytest.mark.parametrize(
    "text",
    [
        "Name\tAge\tTown\nAnn\t3\tOslo",
        "def f():\n\treturn 1\n\tprint(2)",
        "a\nu = 3\nnot\nequal\nmid",
        "x\r\ny",
        "\ttotal",
        "page\f\n2",
        r"\times \frac12",
    ],
)
def test_tables_code_and_lines_are_text(text):
    check_latex_escapes(text)


@pytest.mark.parametrize("field", ["prompt", "answer"])
def test_the_line_is_named(tmp_path, field):
    rows = [{"prompt": f"{n}?", "answer": "x"} for n in range(30)]
    rows[6][field] = "1\times 2"
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"own.jsonl, line 7: a control .* write \\\\times"):
        load("jsonl", path=str(path), cache=tmp_path / "cache")
