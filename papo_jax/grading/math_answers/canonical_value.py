r"""Canonical values of answers: equal values are equal texts, as majority votes need.

Numbers are fractions, radicals and multiples of pi where they can be told from their digits;
polynomials are multiplied out; other formulas are known by their values at two points. Nothing is
simplified by sympy, so that a hostile answer costs no time.

>>> [write_canonical_value(text) for text in ("50%", r"\frac{2}{4}", "x=0.5", r"1\frac{1}{2}")]
['1/2', '1/2', '1/2', '3/2']
>>> [
...     write_canonical_value(text)
...     for text in (r"\sqrt{12}", r"\frac{6}{\sqrt{3}}", r"\frac{\pi}{2}")
... ]
['2\\sqrt{3}', '2\\sqrt{3}', '\\frac{1}{2}\\pi']
>>> [write_canonical_value(text) for text in ("2,1", r"\{1,2\}", "50«cm»", "0.5«m»", "(x+1)^2")]
['1,2', '1,2', '1/2 m', '1/2 m', 'x^2+2x+1']
"""

from fractions import Fraction

from papo_jax.grading.math_answers.answer_parser import parse_answer
from papo_jax.grading.math_answers.formula_parser import UnreadableFormula
from papo_jax.grading.math_answers.formula_value import write_formula_value
from papo_jax.grading.math_answers.measures.clock_times import parse_clock_time
from papo_jax.grading.math_answers.measures.quantities import split_quantity
from papo_jax.grading.math_answers.measures.units import convert_to_base
from papo_jax.grading.math_answers.parsed_answer import ParsedAnswer
from papo_jax.grading.math_answers.rationals import parse_power_or_root, parse_rational

_MAX_CHARACTERS = 120  # of a formula that is evaluated for a vote
_SEPARATORS = {"list": ",", "set": ",", "union": r"\cup", "row": "&", "matrix": r"\\"}


def write_canonical_value(text: str) -> str:
    """Writes an answer so that equal values read the same.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.

    Returns:
      The value; the text itself where it is none that can be read.
    """
    try:
        return _write(parse_answer(text))
    except MemoryError:
        raise
    except Exception:  # a vote is no reason to fail: what cannot be read stands for itself
        return text


def _write(parsed: ParsedAnswer) -> str:
    kind, parts = parsed
    if kind == "named":
        return _write(parts[1])
    if kind == "value":
        return _write_value(parts[0])
    if kind == "congruence":
        return _write_congruence(*parts)
    if kind in ("equation", "relation"):
        return "=".join(parts)
    members = [_write(part) for part in parts]
    if kind in ("list", "set", "union"):
        members.sort()
        kind = "union" if all(part.kind[:1] in ("(", "[") for part in parts) else kind
    separator = _SEPARATORS.get(kind, ",")
    inside = separator.join(members)
    return f"{kind[0]}{inside}{kind[1]}" if len(kind) == 2 else inside


def _write_congruence(residue: str, modulus: str) -> str:
    value, divisor = parse_rational(residue), parse_rational(modulus)
    if value is None or not divisor or value.denominator * divisor.denominator != 1:
        return rf"{residue}\pmod{{{modulus}}}"
    return rf"{value % divisor}\pmod{{{modulus}}}"


def _write_value(text: str) -> str:
    time = parse_clock_time(text)
    if time is not None:
        return f"{int(time.minutes // 60)}:{time.minutes % 60:05.2f}".removesuffix(".00")
    quantity = split_quantity(text)
    if "«" in quantity.value:
        return text.casefold()

    value = _read_number(quantity.value)
    factor, unit = convert_to_base(quantity.unit)
    if value is not None:
        written = str(value * quantity.scale * factor)
    else:
        written = _write_formula(quantity.value, quantity.scale * factor)
    return f"{written} {unit}".strip()


def _write_formula(text: str, factor: Fraction) -> str:
    scale = "" if factor == 1 else f"{factor} "
    if len(text) > _MAX_CHARACTERS or text.count("|") > 2:
        return scale + text
    try:
        return write_formula_value(text, factor)
    except (UnreadableFormula, ValueError):  # such as infinity
        return scale + text


def _read_number(text: str) -> Fraction | None:
    value = parse_rational(text.removesuffix("%"))
    if value is None:
        return parse_power_or_root(text)
    return value / 100 if text.endswith("%") else value
