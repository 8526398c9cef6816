r"""Words of an answer, set in guillemets so that all that is left is mathematics.

>>> mark_words(r"5\text{ cm}").split(), mark_words("42 or 43 apples")
(['5', '«cm»'], '42;43 «apples»')
>>> mark_words(r"\mathbf{\frac{1}{2}}").strip(), mark_words("twenty-one people")
('\\frac{1}{2}', '21«people»')
>>> mark_words(r"\text{The answer is } 5").strip(), mark_words(r"12^{\text{th}}").strip()
('5', '12 «th»')
"""

import re
from fractions import Fraction

from papo_jax.grading.math_answers.measures.money_signs import NUMBER
from papo_jax.grading.wording.latex_decoration import Shown, show_contents
from papo_jax.grading.wording.multipliers import MULTIPLIERS
from papo_jax.grading.wording.number_words import SMALL_NUMBERS, read_number_words

_FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp"
_FUNCTION = re.compile(_FUNCTIONS)
_BARE_FUNCTION = re.compile(
    r"(?<![\\A-Za-z«])(?=(?:sin|cos|tan|cot|sec|csc|log|ln|sqrt|pi)(?![A-Za-z]))"
)
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '/.-]|\^[23])*")  # or a unit, such as km/h
_OR = re.compile(r",?\s*(?<![A-Za-z\\])(?:or|and)(?![A-Za-z])\s*", re.IGNORECASE)
_AND_IN_NUMBER = re.compile(  # one hundred and five
    r"(hundred|thousand|million|billion)\s+and\s+"
    rf"(?=(?:{'|'.join(word for word, value in SMALL_NUMBERS.items() if value)})(?![A-Za-z]))",
    re.IGNORECASE,
)
_AND_A_HALF = re.compile(r"\s*(?:\}\s*)?\band\s+(?:a|one)[ -]half(?![A-Za-z])", re.IGNORECASE)
_MINUS_WORD = re.compile(
    r"(?:^|(?<=[=,;(\[]))\s*(«?)\s*(?:negative|minus)(\s*»\s*|\s+)(?=[0-9A-Za-z\\$«])",
    re.IGNORECASE,
)
_SENTENCE = re.compile(  # "The number of ways is 5", but not "Half of it is 5"
    r"^\s*«(?!(?:[^«»]* )?(?:not|half|twice|double|negative|opposite|reciprocal|inverse|times|more"
    r"|less|than|no|never|except|least|most) )(?:[^«» ]+ ){1,8}(?:is|are|equals)»\s*[:=]?\s*(?=\S)"
    r"|^\s*«(?:the )?value of»\s*[A-Za-z]\s*«is»\s*(?=\S)",
    re.IGNORECASE,
)
_SUM = re.compile(  # 3 hours and 20 minutes, which is one value
    rf"(?P<first>{NUMBER}\s*«?(?P<unit>years?|weeks?|days?|hours?|hrs?|h|minutes?|mins?|feet|foot"
    rf"|ft|pounds?|lbs?|dollars?|meters?|kilometers?)»?)\s*,?\s*(?:«and»|and)\s+"
    rf"(?={NUMBER}\s*«?(?:months?|days?|hours?|hrs?|h|minutes?|mins?|seconds?|secs?|s|inch(?:es)?"
    r"|in|ounces?|oz|cents?|centimeters?|cm|meters?|m)(?![A-Za-z]))"
)
_UNITS_AT_DIGITS = (  # as in 5cm; a single letter there is a variable
    r"km/h|m/s|kmh|km|kph|cm|mm|dm|kg|mg|mL|ml|kL|ft|in|lbs?|oz|hrs?|mins?|secs?|mi|yd|mph"
    r"|cents?|degrees?|kN|kJ|kW|kWh|Hz|kHz|MHz|GHz|MW|GW|mA|kV|MB|GB|KB|kB|TB|USD|EUR|GBP|INR"
    r"|o'clock|(?:[aApP]\.?[mM]|BCE?|B\.C(?:\.E)?|AD|A\.D|CE|C\.E)\.?|million|billion|thousand"
)
_BARE_WORD = re.compile(
    r"«[^«»]*»|\\(?:begin|end)\{\w*\}"
    rf"|(?<=\d)\s*(?:{_UNITS_AT_DIGITS})(?![A-Za-z/])"
    r"|(?<![A-Za-z0-9\\})])(?![a-z]+[A-Z])[A-Za-z]{3,}(?![A-Za-z_])"
    r"|(?<![A-Za-z0-9\\})])[Aa]n?(?=\s+(?:hundred|thousand|million|billion|dozen|half|third)(?![a-z]))"
    r"|(?<=[A-Za-z]{2} )(?:is|are)(?=\s)"
    r"|(?<![A-Za-z0-9\\})])(?:[Nn]o|of|is|in|to|by|at|per)(?=\s+«?[A-Za-z]{3,})"
)
_BETWEEN_WORDS, _HYPHEN = re.compile(r"»\s*«"), re.compile(r"(?<=[A-Za-z]»)-(?=«[A-Za-z])")
_PERCENT = re.compile(r"«(?:percent|per cent|percentage|pct)»", re.IGNORECASE)
_PREFIX = re.compile(
    r"\s*«?\s*(?:(?:so|thus|hence|therefore|and),?\s+)?(?:(?:the|my|our)\s+)?"
    r"(?:(?:final|correct|right)\s+)?(?:answers?|ans|results?|solutions?|value)"
    r"(?:\s*(?:is|are|equals)(?![A-Za-z])\s*:?\s*»?|\s*»?\s*[:=]\s*»?|\s*»)\s*[:=]?\s*(?=\S)",
    re.IGNORECASE,
)
_ORDINAL = re.compile(
    r"(?<=\d)\s*(?:\^\s*\{?\s*«?\s*(?:st|nd|rd|th)\s*»?\s*\}?|«(?:st|nd|rd|th)»)(?![A-Za-z])"
)
_PLAIN_ORDINAL = re.compile(
    r"(?<=1\d)th(?![A-Za-z])|(?<=1)st(?![A-Za-z])|(?<=2)nd(?![A-Za-z])"
    r"|(?<=3)rd(?![A-Za-z])|(?<=[04-9])th(?![A-Za-z])"
)
_VALUE_WORDS = re.compile(r"(?:^|(?<=[=,;(\[{<>:]))(\s*-?\s*)«([^«»]*)»")
_ALPHABETS = (r"\mathbb", r"\mathcal", r"\mathfrak", r"\mathscr")  # of which \mathbb{R} is a set
_SCALES = {"k": "thousand", "K": "thousand", "M": "million", "B": "billion"}
_NUMERATORS = SMALL_NUMBERS | {"a": 1, "": 1}
_PARTS = {word: factor for word, factor in MULTIPLIERS.items() if factor < 1} | dict.fromkeys(
    ("quarter", "quarters"), Fraction(1, 4)
)
_PART = re.compile(r"(?:(a|one|two|three|four|five|seven)[ -])?([a-z]+)", re.IGNORECASE)


def mark_words(text: str) -> str:
    r"""Sets words in guillemets, and takes fonts, colors and boxes off what is no word.

    "or" and "and" become semicolons, the names of functions commands, numbers in words digits, and
    "The answer is" goes.

    Args:
      text: LaTeX in which every space is " ".
    """
    text = _AND_A_HALF.sub(r"\\frac{1}{2}", _AND_IN_NUMBER.sub(r"\1 ", text))
    text = _PREFIX.sub("", show_contents(text, _show_content), count=1)
    text = _MINUS_WORD.sub(lambda match: "-" if "»" in match[2] else f"-{match[1]}", text)
    text = _PLAIN_ORDINAL.sub("«th»", _ORDINAL.sub(" «th»", text))
    text = _OR.sub(";", _SUM.sub(r"\g<first> ", text))
    text = _BARE_WORD.sub(_mark_bare_word, _BARE_FUNCTION.sub(r"\\", text))
    text = _BETWEEN_WORDS.sub(" ", _HYPHEN.sub(" ", text))
    text = _SENTENCE.sub("", text, count=1)
    return _PERCENT.sub("%", _VALUE_WORDS.sub(_write_digits, text))


def _show_content(shown: Shown) -> str:
    r"""Marks the word in \text{...}, or unwraps mathematics in disguise.

    Such are \text{(C)}, \text{5 cm} and \text{ or }.
    """
    content, before = _PREFIX.sub("", shown.content).strip(" .,;:()"), shown.before
    if shown.command in _ALPHABETS and len(content) == 1 and content.isupper():
        return rf"{shown.command}{{{content}}}"
    if _FUNCTION.fullmatch(content):
        return rf"\{content} "
    if not _WORD.fullmatch(content) or _OR.search(content):
        is_argument = re.search(r"[\^_]\s*$|\\(?:frac|sqrt)\s*$", before)
        content = _PREFIX.sub("", shown.content).rstrip(" .,;:").lstrip(" ,;:")
        return f"{{{content}}}" if is_argument else f" {content} "
    # A letter right behind a number scales it; one that stands apart is a unit, such as kelvin.
    is_attached = before[-1:].isdigit() and not shown.content.startswith(" ")
    is_kelvin = content == "K" and shown.command == r"\mathrm"
    if content == "k" or (content in _SCALES and is_attached and not is_kelvin):
        return f" «{_SCALES[content]}» " if before.rstrip()[-1:].isdigit() else f" {content} "
    is_after_number = re.search(r"(?:[0-9}»]|\\pi)\s*$", before) is not None
    is_word = len(content) > 1 or (content and is_after_number)
    return f" «{content}» " if is_word else f" {content} "


def _mark_bare_word(match: re.Match[str]) -> str:
    is_marked_or_command = match[0][0] in "«\\"
    return match[0] if is_marked_or_command else f"«{match[0].strip()}»"


def _write_digits(match: re.Match[str]) -> str:
    """Writes the number in words that a value begins with: «twenty-one people» is 21«people»."""
    words = match[2]
    part = _PART.fullmatch(words)
    fraction = _PARTS.get(part[2].casefold()) if part else None
    if part and part[1] in ("a", "one", "A", "One"):  # a third, but the third
        fraction = fraction or _PARTS.get(part[2].casefold() + "s")
    if part and fraction:
        numerator = _NUMERATORS[(part[1] or "").casefold()]
        return rf"{match[1]}\frac{{{numerator}}}{{{fraction.denominator}}}"
    number = read_number_words(words)
    if number is None:
        return match[0]
    unit = words[number.end :].strip()
    return f"{match[1]}{number.value}" + (f"«{unit}»" if unit else "")
