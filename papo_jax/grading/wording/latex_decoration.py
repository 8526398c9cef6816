r"""LaTeX's decoration: fonts, sizes, colors and boxes around an answer, which change no value.

>>> unwrap_decoration(r"{\bf 5}"), unwrap_decoration(r"\textcolor{red}{\mathbf{\frac{1}{2}}}")
('{ 5}', '\\frac{1}{2}')
>>> unwrap_decoration(r"\color{blue}{5}\phantom{9}")
'5 '
"""

import re
from collections.abc import Callable
from typing import NamedTuple

_SHOWN = """
    text textbf textit textrm textsf texttt textsc textsl textup textmd textnormal textmath emph
    mbox hbox vbox mathrm mathbf mathit mathsf mathtt mathnormal mathop mathord mathbin mathrel
    mathinner mathbb mathcal mathfrak mathscr boldsymbol symbf symrm symsf bm pmb bold operatorname
    underline uline uuline ensuremath smash
""".split()
# Commands whose last argument is shown, and those that come before it.
_LAST_SHOWN = dict.fromkeys(
    "textcolor color colorbox href scalebox raisebox enclose style class".split(), 1
) | dict.fromkeys("fcolorbox resizebox".split(), 2)
_DROPPED_WITH_ARGUMENT = "color hspace vspace label tag fontsize pagecolor definecolor".split()
_HIDDEN = "phantom hphantom vphantom".split()
_SWITCHES = """
    bf rm it sf tt sl sc em bfseries rmfamily sffamily ttfamily itshape upshape slshape scshape
    mdseries normalfont displaystyle textstyle scriptstyle scriptscriptstyle large Large LARGE huge
    Huge small normalsize tiny footnotesize scriptsize left right middle bigl bigr Bigl Bigr bigm
    Bigm biggl biggr Biggl Biggr big Big bigg Bigg limits nolimits selectfont centering boldmath
    unboldmath mathstrut strut nonumber notag hfill noindent relax protect
""".split()

# Environments around an answer that lay it out and say nothing.
LAYOUT_ENVIRONMENTS = """aligned align alignat gathered gather split equation displaymath math
    multline flushleft center eqnarray""".split()
REMARKS = "checkmark blacksquare qed qedsymbol Box therefore".split()  # signs that say no value


def _any_of(names) -> str:
    return rf"\\(?:{'|'.join(sorted(names, key=len, reverse=True))})(?![A-Za-z])\*?\s*"


_OPTION = r"(?:\[[^\[\]{}]*\]\s*)?"
_OPENING = "|".join(
    rf"\\{name}(?![A-Za-z])\s*{_OPTION}(?:\{{[^{{}}]*\}}\s*){{{arguments}}}\{{"
    for name, arguments in _LAST_SHOWN.items()
)
_TOKEN = re.compile(
    rf"(?P<shown>{_any_of(_SHOWN)}{_OPTION}\{{|{_OPENING})|\\.|[{{}}]|[^\\{{}}]+|\\", re.DOTALL
)
_DROPPED = re.compile(rf"{_any_of(_DROPPED_WITH_ARGUMENT)}{_OPTION}(?:\{{[^{{}}]*\}})?")
_INVISIBLE = re.compile(rf"{_any_of(_HIDDEN)}(?:\{{[^{{}}]*\}})?")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_LAYOUT = re.compile(
    rf"\\(?:begin|end)\s*\{{(?:{'|'.join(LAYOUT_ENVIRONMENTS)})\*?\}}\s*&?|{_any_of(REMARKS)}"
)
_SWITCH = re.compile(_any_of(_SWITCHES))


def unwrap_decoration(text: str) -> str:
    r"""Takes decoration off: what is shown stays, and what is hidden or names a color goes.

    Args:
      text: LaTeX; plain text comes back as it is.

    Returns:
      The text; two words or two numbers that a command kept apart have a space between them.

    >>> unwrap_decoration(r"7\text{cm}\mathbf{4}"), unwrap_decoration(r"\text{41}\text{42}")
    ('7cm4', '41 42')
    """
    if "\\" not in text:
        return text
    text = show_contents(_SWITCH.sub(" ", text), _keep_apart)
    return _LAYOUT.sub(" ", _INVISIBLE.sub("", _DROPPED.sub("", text)))


class Shown(NamedTuple):
    """An argument that a command shows.

    Attributes:
      content: the argument.
      command: the command with its backslash.
      before: what stands before the command in its group.
      after: the character behind it.
    """

    content: str
    command: str
    before: str
    after: str


def drop_switches(text: str) -> str:
    r"""Drops the commands that switch a font, a size or a color, and those that set distances.

    >>> drop_switches(r"{\color{red}\Large 5}")
    '{5}'
    """
    return _SWITCH.sub("", _DROPPED.sub("", text))


def show_contents(text: str, show: Callable[[Shown], str]) -> str:
    r"""Replaces commands that do but show their argument, the inner ones first.

    Args:
      text: LaTeX.
      show: returns what replaces a command and its arguments.

    >>> show_contents(r"\mathbf{1+\text{x}}", lambda shown: f"<{shown.content}>")
    '<1+<x>>'
    """
    if "\\" not in text:
        return text
    groups, openings = [""], []  # the texts of the groups that are open, and what opened them
    for match in _TOKEN.finditer(text):
        if match["shown"] or match[0] == "{":
            groups.append("")
            openings.append(match[0])
        elif match[0] == "}" and openings:
            content, opening = groups.pop(), openings.pop()
            if opening == "{":
                groups[-1] += f"{{{content}}}"
            else:
                after = text[match.end() : match.end() + 1]
                command = _COMMAND.findall(opening)[0]
                groups[-1] += show(Shown(content, command, groups[-1], after))
        else:
            groups[-1] += match[0]
    while openings:  # never closed
        content = groups.pop()
        groups[-1] += openings.pop() + content
    return groups[0]


def _keep_apart(shown: Shown) -> str:
    content, before, after = shown.content, shown.before[-1:], shown.after
    is_followed = _are_alike(content[-1:], after) or (after == "\\" and content[-1:].isdigit())
    return (" " if _are_alike(before, content[:1]) else "") + content + (" " if is_followed else "")


def _are_alike(first: str, second: str) -> bool:
    return (first.isdigit() and second.isdigit()) or (first.isalpha() and second.isalpha())
