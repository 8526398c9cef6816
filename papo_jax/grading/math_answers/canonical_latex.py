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

MAX_CHARACTERS = 1000  # of an answer that is rewritten; a longer one is compared as it stands

# Characters and commands with a plainer twin. The order matters where one holds another, as \$
# holds $.
_UNICODE_COMMANDS = zip(
    "×÷·π√∞∪≤≥≠±∈", "times div cdot pi sqrt infty cup le ge ne pm in".split(), strict=True
)
_REPLACEMENTS = (
    dict.fromkeys("\u2212\u2013", "-")
    | {character: rf"\{command} " for character, command in _UNICODE_COMMANDS}
    | {"°": r"^\circ ", r"^{\circ}": r"^\circ ", "²": "^2 ", "³": "^3 ", "**": "^"}
    | {"<=": r"\le ", ">=": r"\ge ", "!=": r"\ne ", "==": "="}
    | dict.fromkeys("\u00a0\u2009\u202f", " ")
    | dict.fromkeys("«»", "?")  # which are to mark words alone
    | {"€": "", "£": "", "{,}": "", r"\$": "", "$": " ", r"\%": "%"}
)
_COMMAND_REPLACEMENTS = (
    dict.fromkeys("dfrac tfrac cfrac".split(), r"\frac")
    | {"leq": r"\le ", "leqslant": r"\le ", "geq": r"\ge ", "geqslant": r"\ge "}
    | {"neq": r"\ne ", "lt": "<", "gt": ">", "simeq": r"\approx "}
    | {"ast": "*", "lor": ";", "quad": " ", "qquad": " "}
    | dict.fromkeys("lvert rvert vert".split(), "|")
    | {"lbrace": r"\{", "rbrace": r"\}", "langle": "(", "rangle": ")"}
    | {"degree": r"^\circ ", "percent": "%", "bar": r"\overline", "boldsymbol": r"\mathbf"}
    | dict.fromkeys(
        """left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits bf rm
        large Large LARGE huge Huge""".split(),
        "",
    )
)
_COMMAND = re.compile(r"(?<!\\)\\([A-Za-z]+)")
_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]")  # not the row break and its distance, \\[2pt]
_NO_SPACE = re.compile(r"\\!\s*|(?<=\d)\\,(?=\d{3}(?!\d))")
_SPACE = re.compile(r"(?<!\\)\\[,;:> ]|~|\s+")
_INNER_SPACE = re.compile(r"(?<=[A-Za-z]) (?=[A-Za-z])|(?<=[0-9]) (?=[0-9])")
_GROUPED_DIGITS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_ROOT = re.compile(r"\\sqrt\s*(?:\(([^()]*)\)|([0-9A-Za-z]))")
_MIXED_NUMBER = re.compile(r"(?<![\d./])(\d+) +(\d+)/(\d+)(?![\d./])")
_SHORT_SCRIPT = re.compile(r"([\^_])\{([0-9A-Za-z])\}")
_SUPERSCRIPTS = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUPERSCRIPT_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_TOKEN = re.compile(r"\\[A-Za-z]+|[0-9A-Za-z]")

_TEXT_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mbox|mathrm|mathbf|mathit)\s*\{([^{}]*)\}"
)
_FUNCTION_NAME = re.compile(
    r"(?<![\\A-Za-z«])(?=(?:sin|cos|tan|cot|sec|csc|log|ln|sqrt|pi)(?![A-Za-z]))"
)
_OR = re.compile(r",?\s*(?<![A-Za-z\\])(?:or|and)(?![A-Za-z])\s*", re.IGNORECASE)
_UNITS_AT_DIGITS = (
    r"km/h|m/s|cm|mm|km|dm|kg|mg|mL|ml|ft|in|lb|oz|hr|mi|yd|mph|cents?|degrees?"  # as in 5cm
)
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '/.-]|\^[23])*")  # or a unit, such as km/h
_BARE_WORD = re.compile(
    rf"«[^«»]*»|\\(?:begin|end)\{{\w*\}}|(?<=\d)\s*(?:{_UNITS_AT_DIGITS})(?![A-Za-z/])"
    r"|(?<![A-Za-z0-9\\})])[A-Za-z]{3,}(?![A-Za-z_])"
)
_BETWEEN_WORDS = re.compile(r"»\s*«")
_PERCENT = re.compile(r"«(?:percent|per cent|percentage|pct)»", re.IGNORECASE)


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
    if len(text) > MAX_CHARACTERS:
        return " ".join(text.split())

    # Characters and commands with a plainer twin.
    text = _NO_SPACE.sub("", _DELIMITER.sub(" ", text))
    text = _SUPERSCRIPTS.sub(_script_superscripts, text)
    for written, plain in _REPLACEMENTS.items():
        text = text.replace(written, plain)
    text = _COMMAND.sub(lambda match: _COMMAND_REPLACEMENTS.get(match[1], match[0]), text)

    # Words, thousands commas and arguments.
    text = _mark_words(_SPACE.sub(" ", text))
    text = _add_braces(_GROUPED_DIGITS.sub(_drop_thousands_commas, text))

    # White space that parts neither two letters nor two digits, and braces around it all.
    text = _INNER_SPACE.sub("\0", " ".join(text.split()).rstrip(" .,;:"))
    text = text.replace(" ", "").replace("\0", " ")
    inner = braced_content(text, 1) if text.startswith("{") else None
    if inner is not None and len(inner) == len(text) - 2:
        text = inner
    return text.removeprefix("+")


def _script_superscripts(match: re.Match[str]) -> str:
    """Rewrites superscript digits such as ⁻¹² as ^{-12}."""
    return f"^{{{match[0].translate(_SUPERSCRIPT_DIGITS)}}}"


def _mark_words(text: str) -> str:
    """Sets words in guillemets, and writes the names of functions as commands."""
    text = _OR.sub(";", _TEXT_COMMAND.sub(_unwrap_text_command, text))
    text = _BARE_WORD.sub(_mark_bare_word, _FUNCTION_NAME.sub(r"\\", text))
    return _PERCENT.sub("%", _BETWEEN_WORDS.sub(" ", text))


def _mark_bare_word(match: re.Match[str]) -> str:
    is_marked_or_command = match[0][0] in "«\\"
    return match[0] if is_marked_or_command else f"«{match[0].strip()}»"


def _unwrap_text_command(match: re.Match[str]) -> str:
    r"""Marks the word in \text{...}, or unwraps mathematics in disguise.

    Such are \text{(C)}, \text{5 cm} and \text{ or }.
    """
    content = match[1].strip(" .,;:()")
    if not _WORD.fullmatch(content) or _OR.search(content):
        return f" {content} "
    is_after_number = match.string[: match.start()].rstrip()[-1:] in tuple("0123456789}")
    is_word = len(content) > 1 or (content and is_after_number)
    return f" «{content}» " if is_word else f" {content} "


def _drop_thousands_commas(match: re.Match[str]) -> str:
    """Rewrites 58,500 without its comma, but not (3,400) or {3,400}."""
    before = match.string[: match.start()]
    opened = before.count("(") + before.count("[") + before.count(r"\{")
    closed = before.count(")") + before.count("]") + before.count(r"\}")
    return match[0] if opened > closed else match[0].replace(",", "")


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
