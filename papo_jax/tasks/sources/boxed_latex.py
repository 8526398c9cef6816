r"""Gold answers out of the LaTeX of solutions.

>>> last_boxed(r"so $x = \boxed{\frac{1}{2}}$.")
'\\frac{1}{2}'
"""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")


def last_boxed(solution: str) -> str:
    r"""Returns what stands in the last box of a solution: `\boxed{...}`, `\fbox{...}`, or the token
    in `\boxed 5`.

    Args:
      solution: of the data set's author.

    Raises:
      ValueError: if there is no box, or nothing in it.
    """
    starts = [match.end() for match in _BOX.finditer(solution)]
    if not starts:
        raise ValueError(r"the solution has no \boxed{} answer")
    rest = solution[starts[-1] :]
    content = _braced(rest) if rest.startswith("{") else re.split(r"[\s$]", rest, maxsplit=1)[0]
    if not content.strip():
        raise ValueError(r"the last \boxed{} of the solution is empty or not closed")
    return content.strip()


def bare(answer: str) -> str:
    """Takes the dollar signs off a whole answer.

    >>> bare(" $2^{1009}$ ")
    '2^{1009}'
    """
    answer = answer.strip()
    inside = answer.strip("$").strip()
    return (
        inside
        if answer.startswith("$") and answer.endswith("$") and inside and "$" not in inside
        else answer
    )


def _braced(text: str) -> str:
    """What stands between the brace that a text begins with and its partner; empty if that never
    comes."""
    depth = 0
    for position, character in enumerate(text):
        escaped = position and text[position - 1] == "\\"
        depth += 0 if escaped else {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return text[1:position]
    return ""
