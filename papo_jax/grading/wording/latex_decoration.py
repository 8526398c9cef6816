r"""LaTeX's decoration: fonts, sizes, colors and boxes around an answer, which change no value.

>>> unwrap_decoration(r"{\bf 5}"), unwrap_decoration(r"\textcolor{red}{\mathbf{5}}")
('{ 5}', '5')
>>> unwrap_decoration(r"\color{blue}{5}\phantom{9}")
'5 '
"""

import re

_UNWRAPPED = """
    text textbf textit textrm textsf texttt textsc textsl textup textmd textnormal emph mbox hbox
    mathrm mathbf mathit mathsf mathtt mathnormal mathop mathord boldsymbol symbf bm pmb bold
    operatorname underline uline ensuremath
""".split()
# Commands whose last argument is shown, and those that come before it.
_UNWRAPPED_LAST = {
    "textcolor": 1,
    "color": 1,
    "colorbox": 1,
    "fcolorbox": 2,
    "href": 1,
    "scalebox": 1,
}
_DROPPED_WITH_ARGUMENT = """
    color phantom hphantom vphantom hspace vspace label tag fontsize pagecolor definecolor
""".split()
_SWITCHES = """
    bf rm it sf tt sl sc em bfseries rmfamily sffamily ttfamily itshape upshape mdseries normalfont
    displaystyle textstyle scriptstyle large Large LARGE huge Huge small normalsize tiny
    footnotesize left right bigl bigr Bigl Bigr big Big limits nolimits selectfont centering
    boldmath
""".split()
_MAX_DEPTH = 8  # of decoration in decoration


def _any_of(names) -> str:
    return rf"\\(?:{'|'.join(sorted(names, key=len, reverse=True))})(?![A-Za-z])\*?\s*"


_OPTION = r"(?:\[[^\[\]{}]*\]\s*)?"
_WRAPPER = re.compile(
    "|".join(
        rf"\\{name}(?![A-Za-z])\s*{_OPTION}(?:\{{[^{{}}]*\}}\s*){{{arguments}}}\{{([^{{}}]*)\}}"
        for name, arguments in _UNWRAPPED_LAST.items()
    )
    + rf"|{_any_of(_UNWRAPPED)}\{{([^{{}}]*)\}}"
)
_DROPPED = re.compile(rf"{_any_of(_DROPPED_WITH_ARGUMENT)}{_OPTION}(?:\{{[^{{}}]*\}})?")
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
    text = _show_arguments(_SWITCH.sub(" ", text))
    return _show_arguments(_DROPPED.sub("", text))


def _show_arguments(text: str) -> str:
    """Replaces commands by the arguments that they show, from the innermost on."""
    for _ in range(_MAX_DEPTH):
        plainer = _WRAPPER.sub(_show_argument, text)
        if plainer == text:
            break
        text = plainer
    return text


def _show_argument(match: re.Match[str]) -> str:
    shown = match[match.lastindex or 0]
    text, start, end = match.string, match.start(), match.end()
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    is_followed = _are_alike(shown[-1:], after) or (after == "\\" and shown[-1:].isdigit())
    return (" " if _are_alike(before, shown[:1]) else "") + shown + (" " if is_followed else "")


def _are_alike(first: str, second: str) -> bool:
    return (first.isdigit() and second.isdigit()) or (first.isalpha() and second.isalpha())
