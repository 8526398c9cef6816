r"""LaTeX whose backslashes a string of JSON or Python has taken for escapes.

With one backslash in JSON \times is a tab and "imes", \boxed a backspace and "oxed", \frac a form
feed and "rac": the file should have two.
"""

import re

# Behind a tab, which may also begin a cell of a table or a line of code, only what is left of a
# command of LaTeX; behind a line feed only where that is neither an English word nor a variable.
# Behind any other control character no text goes on with a letter.
_BEHIND_A_TAB = """
    abular ag an anh au binom ext extbackslash extbf extcolor extit extmd extnormal extrm extsc
    extsf extsl extstyle extsuperscript exttt extup frac herefore heta hickapprox hicksim hinspace
    ilde imes iny o op riangle riangledown riangleleft rianglelefteq riangleq riangleright
    rianglerighteq woheadleftarrow woheadrightarrow
"""
_BEHIND_A_LINE_FEED = """
    abla earrow eq eqq geq geqslant leq leqslant otin subseteq supseteq vdash warrow
"""
_TORN_COMMAND = re.compile(
    rf"\t(?:{'|'.join(_BEHIND_A_TAB.split())})(?![a-zA-Z])"
    rf"|\n(?:{'|'.join(_BEHIND_A_LINE_FEED.split())})(?![a-zA-Z])"
    r"|[\x00-\x08\x0b-\x1f\x7f][a-zA-Z]+"
)
_LETTERS = {"\t": "t", "\n": "n", "\b": "b", "\f": "f", "\r": "r", "\v": "v", "\a": "a"}


def check_latex_escapes(text: str) -> None:
    r"""Raises `ValueError` for a text in which a command's backslash became a control character.

    >>> check_latex_escapes("Name\tAge")
    >>> check_latex_escapes("2 \times 3")
    Traceback (most recent call last):
    ValueError: a control character is directly before 'imes'; write \\times for LaTeX's \times
    """
    torn = _TORN_COMMAND.search(text)
    if torn is None:
        return
    control, rest = torn[0][0], torn[0][1:][:20]
    letter = _LETTERS.get(control)
    advice = rf"write \\{letter}{rest} for LaTeX's \{letter}{rest}" if letter else "remove it"
    raise ValueError(f"a control character is directly before {rest!r}; {advice}")
