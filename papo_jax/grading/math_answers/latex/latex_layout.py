r"""Layout of LaTeX that means nothing: environments around an answer, and braces that but group.

>>> drop_environment(r"\begin{aligned} x &= 5 \end{aligned}").strip()
'x = 5'
>>> drop_group_braces(r"12{:}30"), drop_group_braces(r"{3}\sqrt{13}")
('12:30', '3\\sqrt{13}')
"""

import re

from papo_jax.grading.math_answers.latex.latex_spellings import SYMBOLS
from papo_jax.grading.wording.latex_decoration import LAYOUT_ENVIRONMENTS

_ENVIRONMENT = re.compile(
    rf"\s*\\begin\{{({'|'.join(LAYOUT_ENVIRONMENTS)})(\*?)\}}(.*)\\end\{{\1\2\}}\s*", re.DOTALL
)
_SINGLE_CELL = re.compile(
    r"\s*\\begin\{(array|matrix|tabular)\}(?:\{[lcr|]*\})?([^&]*)\\end\{\1\}\s*", re.DOTALL
)
_ROW_BREAK = re.compile(r"\\\\(?:\[[^\]]*\])?")
_TOKEN = re.compile(r"\\(?P<command>[A-Za-z]+\*?)\s*|\\.|[{}]|[^\\{}]+|\\", re.DOTALL)
_ENDS_IN_COMMAND = re.compile(r"\\[A-Za-z]+$")
_TWO_ARGUMENTS = frozenset("begin frac binom dfrac tfrac overset underset stackrel".split())


def drop_environment(text: str) -> str:
    r"""Takes an environment that lays lines out off a text; its lines become members of a list."""
    match = _ENVIRONMENT.fullmatch(text)
    if match:
        content = match[3]
        if r"\begin" in content:
            return content.strip().removeprefix("&")
        return ";".join(_ROW_BREAK.split(content.replace(r"\&", "").replace("&", " ")))
    match = _SINGLE_CELL.fullmatch(text)
    return (
        match[2] if match and not _ROW_BREAK.search(match[2].strip().removesuffix("\\\\")) else text
    )


def drop_group_braces(text: str) -> str:
    r"""Drops the braces that are around no argument of a command, script or root.

    Args:
      text: LaTeX in which every argument has its braces.
    """
    groups: list[str] = [""]  # the texts of the groups that are open
    kinds: list[tuple[bool, int]] = []  # of each: if it is an argument, and how many follow it
    arguments = 0  # that a group right here would begin
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "{":
            is_argument = arguments > 0 or groups[-1].rstrip()[-1:] in ("^", "_", "]")
            kinds.append((is_argument, max(arguments - 1, 0)))
            groups.append("")
            arguments = 0
        elif token == "}" and kinds:
            content, (is_argument, arguments) = groups.pop(), kinds.pop()
            has_script = text[match.end() :].lstrip()[:1] in ("^", "_")
            keeps_braces = is_argument or (has_script and not content.isalnum())
            groups[-1] += f"{{{content}}}" if keeps_braces else _join(groups[-1], content)
        else:
            groups[-1] += token
            arguments = _count_arguments(match["command"]) if match["command"] else 0
    return "{".join(groups)


def _count_arguments(command: str) -> int:
    if command in SYMBOLS:
        return 0
    return 2 if command in _TWO_ARGUMENTS else 1


def _join(before: str, content: str) -> str:
    r"""Returns what a group holds, parted from the letters of a command."""
    return (" " if _ENDS_IN_COMMAND.search(before) else "") + (
        content + " " if _ENDS_IN_COMMAND.search(content) else content
    )
