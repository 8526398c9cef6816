r"""Whether two answers have the same structure, and the same values in the same places.

>>> from papo_jax.grading.math_answers.structure import read
>>> (
...     same(read("1;-2"), read("x=-2;x=1"), str.__eq__),
...     same(read("(1,-2)"), read("(-2,1)"), str.__eq__),
... )
(True, False)
"""

from collections.abc import Callable

from papo_jax.grading.math_answers import rationals
from papo_jax.grading.math_answers.structure import Form

_ANY_ORDER = (("list", "set"), ("union", "list"))
_MOST = 12  # members that are matched in any order


def same(gold: Form, answer: Form, equal: Callable[[str, str], bool]) -> bool:
    """Compares two answers.

    Lists, sets and unions match in any order; tuples, intervals and matrices in their own; a list
    matches a tuple in that order. The name in "x = 5" may be missing from either side, but may not
    be another one.

    Args:
      gold: the right answer.
      answer: the other.
      equal: compares the texts of two values, gold first.

    Returns:
      Whether they are the same.
    """
    if gold.kind == answer.kind == "named" and gold.parts[0] != answer.parts[0]:
        return False
    bare_gold, bare_answer = _without_name(gold), _without_name(answer)
    kinds = {bare_gold.kind, bare_answer.kind}
    if kinds == {"value"} or kinds == {"equation"}:
        return equal(_text(bare_gold), _text(bare_answer))
    if bare_answer.kind == "equation" and bare_gold.kind == "value":
        plain = [side for side in bare_answer.parts if rationals.read(side) is not None]
        return equal(_text(bare_gold), plain[0] if len(plain) == 1 else bare_answer.parts[-1])
    return _same_members(bare_gold, bare_answer, equal)


def _same_members(gold: Form, answer: Form, equal: Callable[[str, str], bool]) -> bool:
    if "relation" in (gold.kind, answer.kind):
        return gold == answer
    if any(gold.kind in kinds and answer.kind in kinds for kinds in _ANY_ORDER):
        in_order = len(gold.parts) > _MOST or _names_decide(gold, answer)
        return _paired(gold, answer, equal) if in_order else _matched(gold, answer, equal)
    if gold.kind == answer.kind or {gold.kind, answer.kind} == {"list", "()"}:
        return gold.kind not in ("value", "equation") and _paired(gold, answer, equal)
    return False


def _paired(gold: Form, answer: Form, equal: Callable[[str, str], bool]) -> bool:
    pairs = zip(gold.parts, answer.parts, strict=False)
    return len(gold.parts) == len(answer.parts) and all(same(*pair, equal) for pair in pairs)


def _matched(gold: Form, answer: Form, equal: Callable[[str, str], bool]) -> bool:
    left = list(answer.parts)
    for wanted in gold.parts:
        found = next((part for part in left if same(wanted, part, equal)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def _names_decide(gold: Form, answer: Form) -> bool:
    """Whether a=1, b=2 stands against 1, 2, of which the order then matters."""
    names = {part.parts[0] for part in gold.parts if part.kind == "named"}
    return len(names) > 1 and not any(part.kind == "named" for part in answer.parts)


def _without_name(form: Form) -> Form:
    return form.parts[1] if form.kind == "named" else form


def _text(form: Form) -> str:
    return "=".join(form.parts)
