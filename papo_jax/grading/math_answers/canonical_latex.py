r"""One way to write every LaTeX answer, so that most equal answers are equal texts.

Words are set in guillemets, whether they came in \text or bare, so that what is left is
mathematics.

>>> canonical(r"\left( 3, \dfrac\pi2 \right)") == canonical(r"$(3,\frac{\pi}{2})$.")
True
>>> (canonical(r"15\mbox{ cm}^2"), canonical("42 or 43 apples"), canonical(r"\text{(C)}"))
('15«cm»^2', '42;43«apples»', 'C')
"""

import re

from papo_jax.grading.final_answer import braced, plain

LONGEST = 1000  # characters of an answer that are rewritten; a longer one is compared as it stands

# Characters and commands that have a plainer twin. The order matters only where one holds another.
_TWINS = {
    "\u2212": "-",
    "\u2013": "-",
    "×": r"\times ",
    "÷": r"\div ",
    "·": r"\cdot ",
    "π": r"\pi ",
    "√": r"\sqrt ",
    "°": r"^\circ ",
    r"^{\circ}": r"^\circ ",
    "∞": r"\infty ",
    "∪": r"\cup ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "<=": r"\le ",
    ">=": r"\ge ",
    "!=": r"\ne ",
    "==": "=",
    "±": r"\pm ",
    "∈": r"\in ",
    "²": "^2 ",
    "³": "^3 ",
    "**": "^",
    "\u00a0": " ",
    "\u2009": " ",
    "\u202f": " ",
    "«": "?",
    "»": "?",
    "€": "",
    "£": "",
    "{,}": "",
    r"\$": "",
    "$": " ",
    r"\%": "%",
}
_COMMANDS = {
    "dfrac": r"\frac",
    "tfrac": r"\frac",
    "cfrac": r"\frac",
    "leq": r"\le ",
    "geq": r"\ge ",
    "leqslant": r"\le ",
    "geqslant": r"\ge ",
    "neq": r"\ne ",
    "lt": "<",
    "gt": ">",
    "ast": "*",
    "lor": ";",
    "simeq": r"\approx ",
    "quad": " ",
    "qquad": " ",
    "lvert": "|",
    "rvert": "|",
    "vert": "|",
    "lbrace": r"\{",
    "rbrace": r"\}",
    "langle": "(",
    "rangle": ")",
    "degree": r"^\circ ",
    "percent": "%",
    "bar": r"\overline",
    "boldsymbol": r"\mathbf",
} | dict.fromkeys(
    "left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits bf rm large Large LARGE huge Huge".split(),
    "",
)
_COMMAND = re.compile(r"(?<!\\)\\([A-Za-z]+)")
_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]")  # not the row break and its distance, \\[2pt]
_NO_SPACE = re.compile(r"\\!\s*|(?<=\d)\\,(?=\d{3}(?!\d))")
_SPACE = re.compile(r"(?<!\\)\\[,;:> ]|~|\s+")
_INNER_SPACE = re.compile(r"(?<=[A-Za-z]) (?=[A-Za-z])|(?<=[0-9]) (?=[0-9])")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_ROOT = re.compile(r"\\sqrt\s*(?:\(([^()]*)\)|([0-9A-Za-z]))")
_MIXED = re.compile(r"(?<![\d./])(\d+) +(\d+)/(\d+)(?![\d./])")
_SHORT_SCRIPT = re.compile(r"([\^_])\{([0-9A-Za-z])\}")
_SUPERSCRIPTS = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_TOKEN = re.compile(r"\\[A-Za-z]+|[0-9A-Za-z]")

_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mbox|mathrm|mathbf|mathit)\s*\{([^{}]*)\}"
)
_FUNCTION = re.compile(
    r"(?<![\\A-Za-z«])(?=(?:sin|cos|tan|cot|sec|csc|log|ln|sqrt|pi)(?![A-Za-z]))"
)
_OR = re.compile(r",?\s*(?<![A-Za-z\\])(?:or|and)(?![A-Za-z])\s*", re.IGNORECASE)
_UNITS_AT_DIGITS = "km/h|m/s|cm|mm|km|dm|kg|mg|mL|ml|ft|in|lb|oz|hr|mi|yd|mph|cents?|degrees?"
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '/.-]|\^[23])*")  # or a unit, such as km/h
_BARE_WORD = re.compile(
    rf"«[^«»]*»|\\(?:begin|end)\{{\w*\}}|(?<=\d)\s*(?:{_UNITS_AT_DIGITS})(?![A-Za-z/])"
    r"|(?<![A-Za-z0-9\\})])[A-Za-z]{3,}(?![A-Za-z_])"
)
_BETWEEN_WORDS = re.compile(r"»\s*«")
_PERCENT = re.compile(r"«(?:percent|per cent|percentage|pct)»", re.IGNORECASE)


def canonical(text: str) -> str:
    r"""Rewrites an answer: what means the same should read the same.

    Dollar signs, spacing, sizes, thousands commas and the variants of commands go; arguments get
    their braces; words become «words», and "or" and "and" a semicolon.

    Args:
      text: an answer, in LaTeX or not.

    Returns:
      The canonical text; a text of more than `LONGEST` characters with its white space alone made
      even.

    >>> (canonical(r"$\frac43\sqrt 2$"), canonical("1,080 %"), canonical(r"x=1 \text{ or } x=-2"))
    ('\\frac{4}{3}\\sqrt{2}', '1080%', 'x=1;x=-2')
    """
    text = plain(text)
    if len(text) > LONGEST:
        return " ".join(text.split())
    text = _NO_SPACE.sub("", _DELIMITER.sub(" ", text))
    text = _SUPERSCRIPTS.sub(lambda match: f"^{{{match[0].translate(_DIGITS)}}}", text)
    for written, twin in _TWINS.items():
        text = text.replace(written, twin)
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], match[0]), text)
    text = _with_words(_SPACE.sub(" ", text))
    text = _with_braces(_GROUPED.sub(_ungrouped, text))
    text = (
        _INNER_SPACE.sub("\0", " ".join(text.split()).rstrip(" .,;:"))
        .replace(" ", "")
        .replace("\0", " ")
    )
    inner = braced(text, 1) if text.startswith("{") else None
    return (inner if inner is not None and len(inner) == len(text) - 2 else text).removeprefix("+")


def _with_words(text: str) -> str:
    """Sets words in guillemets, and writes the names of functions as commands."""
    text = _FUNCTION.sub(r"\\", _OR.sub(";", _TEXT.sub(_word, text)))
    text = _BARE_WORD.sub(
        lambda match: match[0] if match[0][0] in "«\\" else f"«{match[0].strip()}»", text
    )
    return _PERCENT.sub("%", _BETWEEN_WORDS.sub(" ", text))


def _word(match: re.Match) -> str:
    r"""What \text{...} holds: a word, or mathematics in disguise, such as \text{(C)}, \text{5 cm}
    or \text{ or }."""
    content = match[1].strip(" .,;:()")
    if not _WORD.fullmatch(content) or _OR.search(content):
        return f" {content} "
    after_number = match.string[: match.start()].rstrip()[-1:] in tuple("0123456789}")
    return f" «{content}» " if len(content) > 1 or (content and after_number) else f" {content} "


def _ungrouped(match: re.Match) -> str:
    """58,500 without its comma, but not (3,400) or {3,400}."""
    before = match.string[: match.start()]
    opened = before.count("(") + before.count("[") + before.count(r"\{")
    closed = before.count(")") + before.count("]") + before.count(r"\}")
    return match[0] if opened > closed else match[0].replace(",", "")


def _with_braces(text: str) -> str:
    r"""\frac12, \frac{270}7, 1 4/5 and \sqrt2 with the braces that TeX adds in thought; x^{2}
    without any."""
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    start = text.rfind(r"\frac")
    while start >= 0:
        end, arguments = start + len(r"\frac"), []
        for _ in range(2):
            argument, end = _argument(text, end)
            arguments.append(f"{{{argument}}}")
        text = text[:start] + r"\frac" + "".join(arguments) + text[end:]
        start = text.rfind(r"\frac", 0, start)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2]}}}", text)
    return _SHORT_SCRIPT.sub(r"\1\2", text)


def _argument(text: str, start: int) -> tuple[str, int]:
    """The argument of a command that starts there, without braces, and where it ends; an empty one
    if there is none."""
    while text[start : start + 1] == " ":
        start += 1
    if text[start : start + 1] == "{":
        content = braced(text, start + 1)
        return ("", start) if content is None else (content, start + len(content) + 2)
    token = _TOKEN.match(text, start)
    return (token[0], token.end()) if token else ("", start)
