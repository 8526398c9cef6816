r"""Canonical LaTeX: one spelling for every answer, so that most equal answers are equal texts.

Words are set in guillemets, whether they came in \text or bare, so that what is left is
mathematics.

>>> canonicalize_latex(r"\left( 3, \dfrac\pi2 \right)")
'(3,\\frac{\\pi}{2})'
>>> canonicalize_latex(r"$(3,\frac{\pi}{2})$.")
'(3,\\frac{\\pi}{2})'
>>> canonicalize_latex(r"15\mbox{ cm}^2"), canonicalize_latex("42 or 43 apples")
('15«cm»^2', '42;43«apples»')
>>> canonicalize_latex(r"\text{(C)}")
'C'
"""

import re

from papo_jax.grading.final_answer import braced_content, strip_decoration
from papo_jax.grading.math_answers.latex.digit_groups import join_digit_groups
from papo_jax.grading.math_answers.latex.latex_layout import drop_environment, drop_group_braces
from papo_jax.grading.math_answers.latex.latex_spellings import COMMAND_REPLACEMENTS, REPLACEMENTS
from papo_jax.grading.math_answers.latex.word_marks import mark_words
from papo_jax.grading.math_answers.measures.money_signs import write_money_as_unit
from papo_jax.grading.wording.characters import replace_characters
from papo_jax.grading.wording.latex_decoration import drop_switches

MAX_CHARACTERS = 1000  # of an answer that is rewritten; a longer one is compared as it stands

_COMMAND = re.compile(r"(?<!\\)\\([A-Za-z]+)")
_FONT_WITHOUT_BRACES = re.compile(r"\\(?:math|text)(?:bf|rm|it|sf|tt)(?![A-Za-z])\s*(?!\s*\{)")
_DOUBLE_STRUCK = re.compile(r"\\mathbb\s*([A-Z])(?![A-Za-z])")
_TAG = re.compile(r"</?(?:b|i|u|em|strong|span|div|p|br)(?:\s[^<>]*)?/?>")
_LEADING_ARROW = re.compile(
    r"^\s*\\(?:implies|Rightarrow|rightarrow|to|longrightarrow)(?![A-Za-z])"
)
_QUOTED = re.compile(r"([\"'“‘])(.*)[\"'”’]")
_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]")  # not the row break and its distance, \\[2pt]
_NO_SPACE = re.compile(r"\\!\s*|(?<=\d)\\,(?=\d{3}(?!\d))")
_SPACE = re.compile(r"(?<!\\)\\[,;:> ]|~|\s+")
_INNER_SPACE = re.compile(r"(?<=[A-Za-z]) (?=[A-Za-z])|(?<=[0-9]) (?=[0-9])")
_ROOT = re.compile(r"\\sqrt\s*(?:\(([^()]*)\)|([0-9A-Za-z]))")
_MIXED_NUMBER = re.compile(r"(?<![\d./])(\d+) +(\d+)/(\d+)(?![\d./])")
_SHORT_SCRIPT = re.compile(r"([\^_])\{([0-9A-Za-z])\}")
_SUPERSCRIPTS = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUPERSCRIPT_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_SYNONYMS = {"«DNE»": "«does not exist»", "«doesn't exist»": "«does not exist»"}
_NO_GUILLEMETS = str.maketrans("«»", "??")  # which are to mark words alone
_TOKEN = re.compile(r"\\[A-Za-z]+|[0-9A-Za-z]")


def canonicalize_latex(text: str) -> str:
    r"""Rewrites an answer so that what means the same reads the same.

    Dollar signs, spacing, sizes, thousands commas and the variants of commands go; arguments get
    their braces; words become «words», and "or" and "and" a semicolon.

    Args:
      text: an answer, in LaTeX or not.

    Returns:
      The canonical text; a text of more than `MAX_CHARACTERS` characters with its white space alone
      made even.

    >>> canonicalize_latex(r"$\frac43\sqrt 2$"), canonicalize_latex("1,080 %")
    ('\\frac{4}{3}\\sqrt{2}', '1080%')
    >>> canonicalize_latex(r"x=1 \text{ or } x=-2")
    'x=1;x=-2'
    """
    text = strip_decoration(text)
    quoted = _QUOTED.fullmatch(text)
    text = quoted[2] if quoted else text
    if len(text) > MAX_CHARACTERS:
        return " ".join(text.split())

    # Characters and commands with a plainer twin.
    text = _replace_spellings(drop_environment(drop_switches(text)))
    text = _NO_SPACE.sub("", _DELIMITER.sub(" ", text))
    text = _COMMAND.sub(lambda match: COMMAND_REPLACEMENTS.get(match[1], match[0]), text)

    # Words, groups of digits and arguments.
    text = _DOUBLE_STRUCK.sub(r"\\mathbb{\1}", _FONT_WITHOUT_BRACES.sub("", _TAG.sub("", text)))
    text = _LEADING_ARROW.sub("", mark_words(_SPACE.sub(" ", text)))
    text = drop_group_braces(_add_braces(join_digit_groups(text)))

    # White space that parts neither two letters nor two digits.
    text = _INNER_SPACE.sub("\0", " ".join(text.split()).rstrip(" .,;:\\"))
    text = text.replace(" ", "").replace("\0", " ").removeprefix("+")
    return _SYNONYMS.get(text, text)


def _replace_spellings(text: str) -> str:
    text = _SUPERSCRIPTS.sub(_script_superscripts, text)
    text = write_money_as_unit(replace_characters(text.translate(_NO_GUILLEMETS)))
    for written, plain in REPLACEMENTS.items():
        text = text.replace(written, plain)
    return text


def _script_superscripts(match: re.Match[str]) -> str:
    """Rewrites superscript digits such as ⁻¹² as ^{-12}."""
    return f"^{{{match[0].translate(_SUPERSCRIPT_DIGITS)}}}"


def _add_braces(text: str) -> str:
    r"""Adds the braces that TeX implies in \frac12, \frac{270}7, 1 4/5 and \sqrt2.

    Those of x^{2} go.
    """
    text = _MIXED_NUMBER.sub(r"\1\\frac{\2}{\3}", text)
    start = text.rfind(r"\frac")
    while start >= 0:
        end, arguments = start + len(r"\frac"), []
        for _ in range(2):
            argument, end = _read_argument(text, end)
            arguments.append(f"{{{argument}}}")
        text = text[:start] + r"\frac" + "".join(arguments) + text[end:]
        start = text.rfind(r"\frac", 0, start)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2]}}}", text)
    return _SHORT_SCRIPT.sub(r"\1\2", text)


def _read_argument(text: str, start: int) -> tuple[str, int]:
    """Returns the argument of a command that starts there, without braces, and where it ends.

    The argument is empty if there is none.
    """
    while text[start : start + 1] == " ":
        start += 1
    if text[start : start + 1] == "{":
        content = braced_content(text, start + 1)
        return ("", start) if content is None else (content, start + len(content) + 2)
    token = _TOKEN.match(text, start)
    return (token[0], token.end()) if token else ("", start)
