r"""Reference answers in LaTeX: the last box of a solution, and dollar signs around an answer.

>>> last_boxed_answer(r"so $x = \boxed{\frac{1}{2}}$.")
'\\frac{1}{2}'
"""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")


def last_boxed_answer(solution: str) -> str:
    r"""Returns the content of a solution's last box.

    A box is `\boxed{...}` or `\fbox{...}`; of `\boxed 5` it is the one token.

    Args:
      solution: of the dataset's author.

    Raises:
      ValueError: if there is no box, or nothing in it.
    """
    starts = [match.end() for match in _BOX.finditer(solution)]
    if not starts:
        raise ValueError(r"the solution has no \boxed{} answer")
    rest = solution[starts[-1] :]
    if rest.startswith("{"):
        content = _braced_content(rest)
    else:
        content = re.split(r"[\s$]", rest, maxsplit=1)[0]
    if not content.strip():
        raise ValueError(r"the last \boxed{} of the solution is empty or not closed")
    return content.strip()


def strip_dollar_signs(answer: str) -> str:
    """Takes off the dollar signs around a whole answer.

    >>> strip_dollar_signs(" $2^{1009}$ ")
    '2^{1009}'
    """
    answer = answer.strip()
    content = answer.strip("$").strip()
    is_one_formula = answer.startswith("$") and answer.endswith("$") and "$" not in content
    return content if is_one_formula and content else answer


def _braced_content(text: str) -> str:
    """Returns the content of the braces that a text begins with; empty if they are not closed."""
    depth = 0
    for position, character in enumerate(text):
        escaped = position and text[position - 1] == "\\"
        depth += 0 if escaped else {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return text[1:position]
    return ""
