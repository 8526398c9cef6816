r"""Equivalence of two parsed answers: the same structure, and equal values in its places.

>>> from papo_jax.grading.math_answers.answer_parser import parse_answer
>>> are_equivalent(parse_answer("1;-2"), parse_answer("x=-2;x=1"), str.__eq__)
True
>>> are_equivalent(parse_answer("(1,-2)"), parse_answer("(-2,1)"), str.__eq__)
False
"""

import re
from collections.abc import Callable

from papo_jax.grading.math_answers.answer_parser import resolve_relation
from papo_jax.grading.math_answers.parsed_answer import ParsedAnswer
from papo_jax.grading.math_answers.rationals import parse_rational
from papo_jax.grading.math_answers.relations.congruences import are_congruent

_UNORDERED_KINDS = (("list", "set"), ("union", "list"))
_VARIABLE = re.compile(r"(?:[A-Za-z]|\\[a-z]+)(?:_\{?[A-Za-z0-9]+\}?)?")
_SYMBOL = re.compile(
    r"\\(?:alpha|beta|gamma|theta|lambda|mu|phi|rho|omega)|(?<![A-Za-z\\])[A-Za-z]"
)
_MAX_UNORDERED = 12  # members that are matched in any order
AreEqual = Callable[[str, str], bool]


def are_equivalent(reference: ParsedAnswer, answer: ParsedAnswer, are_equal: AreEqual) -> bool:
    """Compares two answers.

    Lists, sets and unions match in any order; tuples, intervals and matrices in their own; a list
    matches a tuple in that order. The name in "x = 5" may be missing from either side, but may not
    be another one.

    Args:
      reference: the right answer.
      answer: the other.
      are_equal: compares the texts of two values, the reference's first.

    Returns:
      True if they are equivalent.
    """
    kinds = {reference.kind, answer.kind}
    if (
        kinds <= {"named", "equation"}
        and kinds != {"equation"}
        and not _have_one_name(reference, answer)
    ):
        equations = _write_as_equation(reference), _write_as_equation(answer)
        if all(equations) and (reference.kind == "equation" or _count_symbols(equations[0]) > 1):
            return are_equal(*equations)
        if kinds == {"named"}:
            return False

    reference, answer = _without_name(reference), _without_name(answer)
    kinds = {reference.kind, answer.kind}
    if kinds == {"value"} or kinds == {"equation"}:
        return are_equal(_join_sides(reference), _join_sides(answer))
    if "congruence" in kinds:
        return _are_equivalent_congruences(reference, answer, are_equal)

    # The value of an equation is its one side that is a number, else its last.
    if answer.kind == "equation" and reference.kind == "value":
        numbers = [side for side in answer.parts if parse_rational(side) is not None]
        value = numbers[0] if len(numbers) == 1 else answer.parts[-1]
        return are_equal(_join_sides(reference), value)
    return _have_equivalent_members(reference, answer, are_equal)


def _are_equivalent_congruences(
    reference: ParsedAnswer, answer: ParsedAnswer, are_equal: AreEqual
) -> bool:
    """Compares classes of residues; a modulus that is missing from one side is forgiven."""
    if reference.kind == answer.kind:
        return are_congruent(reference.parts, answer.parts)
    return {reference.kind, answer.kind} == {"congruence", "value"} and are_equal(
        reference.parts[0], answer.parts[0]
    )


def _have_equivalent_members(
    reference: ParsedAnswer, answer: ParsedAnswer, are_equal: AreEqual
) -> bool:
    if reference.kind == answer.kind == "relation":
        return reference == answer or are_equal(reference.parts[0], answer.parts[0])
    if "relation" in (reference.kind, answer.kind):
        intervals = resolve_relation(reference), resolve_relation(answer)
        is_known = "relation" not in (intervals[0].kind, intervals[1].kind)
        return is_known and _have_equivalent_members(*intervals, are_equal)
    if any(reference.kind in kinds and answer.kind in kinds for kinds in _UNORDERED_KINDS):
        if len(reference.parts) > _MAX_UNORDERED or _order_matters(reference, answer):
            return _match_in_order(reference, answer, are_equal)
        return _match_in_any_order(reference, answer, are_equal)
    if reference.kind == answer.kind or {reference.kind, answer.kind} == {"list", "()"}:
        is_collection = reference.kind not in ("value", "equation")
        return is_collection and _match_in_order(reference, answer, are_equal)
    return False


def _match_in_order(reference: ParsedAnswer, answer: ParsedAnswer, are_equal: AreEqual) -> bool:
    if len(reference.parts) != len(answer.parts):
        return False
    pairs = zip(reference.parts, answer.parts, strict=True)
    return all(are_equivalent(expected, found, are_equal) for expected, found in pairs)


def _match_in_any_order(reference: ParsedAnswer, answer: ParsedAnswer, are_equal: AreEqual) -> bool:
    left = list(answer.parts)
    for expected in reference.parts:
        found = next((part for part in left if are_equivalent(expected, part, are_equal)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def _order_matters(reference: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Returns True for a reference a=1, b=2 and an answer 1, 2, which leaves the names out."""
    names = {part.parts[0] for part in reference.parts if part.kind == "named"}
    return len(names) > 1 and not any(part.kind == "named" for part in answer.parts)


def _without_name(parsed: ParsedAnswer) -> ParsedAnswer:
    return parsed.parts[1] if parsed.kind == "named" else parsed


def _join_sides(parsed: ParsedAnswer) -> str:
    return "=".join(parsed.parts)


def _have_one_name(reference: ParsedAnswer, answer: ParsedAnswer) -> bool:
    return reference.kind == answer.kind == "named" and reference.parts[0] == answer.parts[0]


def _write_as_equation(parsed: ParsedAnswer) -> str:
    """Writes an equation, or a value with a letter for its name, in one text; else an empty one."""
    if parsed.kind == "equation":
        return _join_sides(parsed)
    name, value = parsed.parts
    is_simple = value.kind == "value" and _VARIABLE.fullmatch(name)
    return f"{name}={value.parts[0]}" if is_simple else ""


def _count_symbols(equation: str) -> int:
    return len(set(_SYMBOL.findall(equation)) - {"e", "i"})
