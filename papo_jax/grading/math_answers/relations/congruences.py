r"""Congruences: a residue and its modulus, however they are written.

>>> split_congruence(r"x\equiv5\pmod7"), split_congruence("5(«mod»7)")
(('5', '7'), ('5', '7'))
>>> are_congruent(("12", "7"), ("5", "7")), are_congruent(("5", "7"), ("5", "8"))
(True, False)
"""

import re

from papo_jax.grading.math_answers.parsed_answer import NAME
from papo_jax.grading.math_answers.rationals import parse_rational

Congruence = tuple[str, str]  # residue, modulus
_TAIL = re.compile(
    r"(?:\(?(?:\\pmod|«mod(?:ulo)?»)\{?(?P<modulus>[^(){}«»,;]{1,40})\}?\)?)$", re.IGNORECASE
)
_SIGN = re.compile(r"\\equiv|=")


def split_congruence(text: str) -> Congruence | None:
    """Returns residue and modulus of a text such as "x = 5 (mod 7)"; None for any other.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.
    """
    match = _TAIL.search(text)
    if match is None:
        return None
    *names, residue = _SIGN.split(text[: match.start()])
    is_named = not names or (len(names) == 1 and NAME.fullmatch(names[0]))
    return (residue, match["modulus"]) if is_named and residue else None


def share_modulus(members: list[str]) -> list[str]:
    r"""Gives every member of a list the modulus that stands behind the last one.

    >>> share_modulus([r"x\equiv1", r"5\pmod8"]), share_modulus(["1", "5"])
    (['1\\pmod{8}', '5\\pmod{8}'], ['1', '5'])
    """
    last = split_congruence(members[-1])
    if last is None or any(_TAIL.search(member) for member in members[:-1]):
        return members
    return [rf"{_SIGN.split(member)[-1]}\pmod{{{last[1]}}}" for member in (*members[:-1], last[0])]


def are_congruent(first: Congruence, second: Congruence) -> bool:
    """Returns True if two congruences are the same class of residues."""
    values = [parse_rational(text) for text in (*first, *second)]
    if any(value is None or value.denominator != 1 for value in values):
        return first == second
    residue, modulus, other, other_modulus = (int(value) for value in values if value is not None)
    return modulus == other_modulus != 0 and (residue - other) % modulus == 0
