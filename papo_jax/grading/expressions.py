r"""The grader "expression": arithmetic that must come to a target value, as in the countdown game.

The text is parsed into Python's syntax tree, of which only numbers, signs, + - * /, small powers
and parentheses are read, and worked out in exact fractions by the few lines below. Nothing is ever
compiled or executed.

>>> judge("24 using 4, 6, 1, 1", r"\boxed{4 \times 6 \times 1 \div 1 = 24}").verdict
'right'
>>> judge("24 using 4, 6, 1, 1", "24").verdict, judge("24", "9**9**9").verdict
('wrong', 'wrong')
"""

import ast
import re
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

from papo_jax.grading import final_answer
from papo_jax.grading.judgment import ERROR, KEPT, RIGHT, WRONG, Judgment

LONGEST = 500  # characters of an expression
_DEEPEST = 30  # brackets within brackets; Python's parser itself fails at about 100
_BITS = 2000  # of any numerator or denominator on the way
_LARGEST_POWER = 64
_SYMBOLS = (
    (r"\left", ""),
    (r"\right", ""),
    (r"\!", ""),
    (r"\,", ""),
    (r"\;", ""),
    ("$", ""),
    (r"\(", ""),
    (r"\)", ""),
    (r"\[", ""),
    (r"\]", ""),
    (r"\dfrac", r"\frac"),
    (r"\tfrac", r"\frac"),
    (r"\times", "*"),
    (r"\cdot", "*"),
    (r"\div", "/"),
    ("×", "*"),
    ("·", "*"),
    ("÷", "/"),
    ("\u2212", "-"),
    ("\u2013", "-"),
    ("^", "**"),
    ("[", "("),
    ("]", ")"),
)
_FRACTION = re.compile(r"\\frac\{([^{}]*)\}\{([^{}]*)\}")
_ALLOWED = re.compile(r"[0-9.+\-*/() ]+")  # no letter: no name, no 0x10, no 1j, no 1e9
_POWER = re.compile(r"\^|\*\*")  # where the numbers are given, they are joined by + - * / alone
_BESIDES = re.compile(r"[0-9.)]\s*(?=\()|\)\s*(?=[0-9.])")  # 2(3+4), which Python takes for a call


class _Refused(Exception):
    """The text is no arithmetic that is worked out here."""


class _Worked(NamedTuple):
    """The value of a part of an expression, and the numbers that it was made of."""

    value: Fraction
    numbers: list[Fraction]


def judge(gold: str, text: str) -> Judgment:
    """Works out the final answer of a text and compares it with the target.

    In "4*6 = 24" every side has to have the target's value, and the first side is the answer.

    Args:
      gold: an expression with the target's value, such as "24" or "3*8"; after " using ", the
        numbers that the answer must use, each once, and no other.
      text: what the policy wrote, already `final_answer.cut`.

    Returns:
      A `Judgment`; an error where the gold itself cannot be worked out.
    """
    marked = final_answer.marked(text)
    answer = final_answer.plain(final_answer.last_line(text) if marked is None else marked)
    kept = "".join(answer.split())[:KEPT] or None
    target, _, using = gold.partition(" using ")
    try:
        value = _work_out(target).value
        allowed = Counter(_work_out(number).value for number in using.split(",")) if using else None
    except _Refused as refusal:
        return Judgment(ERROR, kept, f"the gold answer {gold[:40]!r}: {refusal}")
    try:
        sides = [_work_out(side) for side in answer.split("=")]
    except _Refused:
        return Judgment(WRONG, kept)
    reached = all(side.value == value for side in sides)
    if allowed and _POWER.search(answer):
        return Judgment(WRONG, kept)
    return Judgment(
        RIGHT if reached and allowed in (None, Counter(sides[0].numbers)) else WRONG, kept
    )


def _work_out(text: str) -> _Worked:
    try:
        source = _translated(text)
        return _value(ast.parse(source, mode="eval").body, source)
    except (SyntaxError, ValueError, ZeroDivisionError) as error:
        raise _Refused(f"not arithmetic ({type(error).__name__})") from error


def _translated(text: str) -> str:
    """The text in Python's notation, once it is short, flat and made of nothing but arithmetic."""
    if len(text) > LONGEST:
        raise _Refused(f"longer than {LONGEST} characters")
    for latex, python in _SYMBOLS:
        text = text.replace(latex, python)
    while (flat := _FRACTION.sub(r"((\1)/(\2))", text)) != text:
        text = flat
    text = text.replace("{", "(").replace("}", ")").strip()
    depth = deepest = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    if not _ALLOWED.fullmatch(text) or deepest > _DEEPEST:
        raise _Refused("not plain arithmetic")
    return _BESIDES.sub(lambda match: match[0].rstrip() + "*", text)


def _value(node: ast.expr, source: str) -> _Worked:
    """Works out a syntax tree; any node but those of arithmetic is refused."""
    match node:
        case ast.Constant():  # read from the source, for 0.1 as a float is not a tenth
            number = _bounded(Fraction(source[node.col_offset : node.end_col_offset]))
            return _Worked(number, [number])
        case ast.UnaryOp(op=ast.UAdd()):
            return _value(node.operand, source)
        case ast.UnaryOp(op=ast.USub()):
            value, numbers = _value(node.operand, source)
            return _Worked(-value, numbers)
        case ast.BinOp():
            left, right = _value(node.left, source), _value(node.right, source)
            return _Worked(
                _bounded(_combined(node.op, left.value, right.value)), left.numbers + right.numbers
            )
    raise _Refused("not plain arithmetic")


def _combined(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.Pow() if right.denominator == 1 and abs(right) <= _LARGEST_POWER:
            return left ** int(right)
    raise _Refused("not plain arithmetic")


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _BITS:
        raise _Refused("a number too large")
    return value
