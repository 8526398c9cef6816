r"""Grader "expression": arithmetic that must come to a target value, as in the countdown game.

The text is parsed into Python's syntax tree, of which only numbers, signs, + - * /, small powers
and parentheses are read, and evaluated in exact fractions by the few lines below. Nothing is ever
compiled or executed.

>>> judge_expression("24 using 4, 6, 1, 1", r"\boxed{4 \times 6 \times 1 \div 1 = 24}").verdict
'right'
>>> judge_expression("24 using 4, 6, 1, 1", "24").verdict
'wrong'
>>> judge_expression("24", "9**9**9").verdict
'wrong'
"""

import ast
import re
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

from papo_jax.grading import final_answer
from papo_jax.grading.judgment import ERROR, MAX_ANSWER_CHARACTERS, RIGHT, WRONG, Judgment
from papo_jax.grading.wording.characters import replace_characters
from papo_jax.grading.wording.latex_decoration import unwrap_decoration

_MAX_CHARACTERS = 500  # of an expression
_MAX_DEPTH = 30  # brackets within brackets; Python's parser itself fails at about 100
_MAX_BITS = 2000  # of any numerator or denominator on the way
_MAX_EXPONENT = 64
_REMOVED = r"\left \right \! \, \; $ \( \) \[ \]".split()
_REPLACED = (
    {r"\dfrac": r"\frac", r"\tfrac": r"\frac"}
    | {r"\times": "*", r"\cdot": "*", r"\ast": "*", r"\div": "/"}
    | dict.fromkeys("×·⋅∙∗✕⨯✖", "*")
    | dict.fromkeys("÷∕⁄➗", "/")
    | {"^": "**", "[": "(", "]": ")"}
)
_FRACTION = re.compile(r"\\frac\{([^{}]*)\}\{([^{}]*)\}")
_LETTER_TIMES = re.compile(r"(?<=[0-9)}])\s*[xX]\s*(?=[0-9({\\])")
_ALLOWED = re.compile(r"[0-9.+\-*/() ]+")  # no letter: no name, no 0x10, no 1j, no 1e9
_POWER = re.compile(r"\^|\*\*")  # where the numbers are given, they are joined by + - * / alone
_IMPLICIT_PRODUCT = re.compile(  # 2(3+4), which Python takes for a call
    r"[0-9.)]\s*(?=\()|\)\s*(?=[0-9.])"
)


class _NotArithmetic(Exception):
    """Raised for a text that is no arithmetic, or more than is evaluated here."""


class _Evaluation(NamedTuple):
    """Value of a part of an expression, and the numbers that it was made of."""

    value: Fraction
    numbers: list[Fraction]


def judge_expression(reference: str, completion: str) -> Judgment:
    """Evaluates the final answer of a completion and compares it with the target.

    In "4*6 = 24" every side has to have the target's value, and the first side is the answer.

    Args:
      reference: an expression with the target's value, such as "24" or "3*8"; after " using ", the
        numbers that the answer must use, each once, and no other.
      completion: text of the policy, already truncated by `final_answer.truncate_to_tail`.

    Returns:
      A `Judgment`; an error where the reference itself cannot be evaluated.
    """
    marked = final_answer.find_marked_answer(completion)
    answer = final_answer.last_line(completion) if marked is None else marked
    answer = unwrap_decoration(answer)
    answer = final_answer.find_phrased_answer(answer) or answer  # "The answer is" inside a box
    answer = final_answer.strip_decoration(answer)
    logged = "".join(answer.split())[:MAX_ANSWER_CHARACTERS] or None

    # The target, and the numbers that may be used.
    target, _, using = reference.partition(" using ")
    try:
        value = _evaluate(target).value
        given = Counter(_evaluate(number).value for number in using.split(",")) if using else None
    except _NotArithmetic as error:
        return Judgment(ERROR, logged, f"the reference answer {reference[:40]!r}: {error}")

    # The sides of the answer.
    try:
        sides = [_evaluate(side) for side in answer.split("=")]
    except _NotArithmetic:
        return Judgment(WRONG, logged)
    if given and _POWER.search(answer):
        return Judgment(WRONG, logged)

    reaches_target = all(side.value == value for side in sides)
    uses_given = given is None or given == Counter(sides[0].numbers)
    return Judgment(RIGHT if reaches_target and uses_given else WRONG, logged)


def _evaluate(text: str) -> _Evaluation:
    try:
        source = _translate_to_python(text)
        return _evaluate_node(ast.parse(source, mode="eval").body, source)
    except (SyntaxError, ValueError, ZeroDivisionError) as error:
        raise _NotArithmetic(f"not arithmetic ({type(error).__name__})") from error


def _translate_to_python(text: str) -> str:
    """Rewrites LaTeX in Python's notation, if it is short, flat and nothing but arithmetic."""
    if len(text) > _MAX_CHARACTERS:
        raise _NotArithmetic(f"longer than {_MAX_CHARACTERS} characters")

    text = _LETTER_TIMES.sub("*", replace_characters(text))
    for symbol in _REMOVED:
        text = text.replace(symbol, "")
    for symbol, replacement in _REPLACED.items():
        text = text.replace(symbol, replacement)
    while (flat := _FRACTION.sub(r"((\1)/(\2))", text)) != text:
        text = flat
    text = text.replace("{", "(").replace("}", ")").strip()

    depth = max_depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        max_depth = max(max_depth, depth)
    if not _ALLOWED.fullmatch(text) or max_depth > _MAX_DEPTH:
        raise _NotArithmetic("not plain arithmetic")
    return _IMPLICIT_PRODUCT.sub(lambda match: match[0].rstrip() + "*", text)


def _evaluate_node(node: ast.expr, source: str) -> _Evaluation:
    """Evaluates a syntax tree; any node but those of arithmetic is refused."""
    match node:
        case ast.Constant():  # read from the source, for 0.1 as a float is not a tenth
            number = _check_size(Fraction(source[node.col_offset : node.end_col_offset]))
            return _Evaluation(number, [number])
        case ast.UnaryOp(op=ast.UAdd()):
            return _evaluate_node(node.operand, source)
        case ast.UnaryOp(op=ast.USub()):
            value, numbers = _evaluate_node(node.operand, source)
            return _Evaluation(-value, numbers)
        case ast.BinOp():
            left, right = _evaluate_node(node.left, source), _evaluate_node(node.right, source)
            value = _check_size(_apply_operator(node.op, left.value, right.value))
            return _Evaluation(value, left.numbers + right.numbers)
    raise _NotArithmetic("not plain arithmetic")


def _apply_operator(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.Pow() if right.denominator == 1 and abs(right) <= _MAX_EXPONENT:
            return left ** int(right)
    raise _NotArithmetic("not plain arithmetic")


def _check_size(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise _NotArithmetic("a number too large")
    return value
