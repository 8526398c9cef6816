r"""Groups of digits: one number's, between commas, spaces, apostrophes or underscores.

>>> join_digit_groups("12 500"), join_digit_groups("58,500"), join_digit_groups("12'500")
('12500', '58500', '12500')
>>> join_digit_groups("(3,400)"), join_digit_groups("41 42"), join_digit_groups("1 4/5")
('(3,400)', '41 42', '1 4/5')
"""

import re

_COMMAS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
# Separators that part nothing but one number's digits, each the same between all of its groups.
_OTHERS = re.compile(
    r"(?<![\d.,^_'])(?:[1-9]\d{0,2}(?: \d{3})+(?! ?\d|/)|[1-9]\d{0,2}(?:['’]\d{3})+(?!['’\d])"
    r"|[1-9]\d{0,2}(?:\\?_\d{3})+(?![\d_])|[1-9]\d{0,2}(?:\.\d{3}){2,}(?![.\d]))"
)
_INDIAN = re.compile(r"-?\d{1,2}(?:,\d\d)+,\d{3}(?:\.\d+)?")


def join_digit_groups(text: str) -> str:
    """Rewrites 58,500 without its comma, but not (3,400), and 12 500, 12'500 and 12_500 likewise.

    Args:
      text: LaTeX in which every space is " ".
    """
    return join_spaced_groups(_COMMAS.sub(_drop_commas, text))


def join_spaced_groups(text: str) -> str:
    """Rewrites 12 500, 12'500, 12_500 and 1.234.567 without what parts the groups."""
    return _OTHERS.sub(lambda match: re.sub(r"\D", "", match[0]), text)


def join_indian_groups(text: str) -> str:
    """Rewrites a text such as 12,50,000 without its commas; any other comes back as it is.

    It could be a list as well, so that is done only where the reference is a single number.

    >>> join_indian_groups("12,50,000"), join_indian_groups("12,50,00")
    ('1250000', '12,50,00')
    """
    return text.replace(",", "") if _INDIAN.fullmatch(text) else text


def _drop_commas(match: re.Match[str]) -> str:
    before = match.string[: match.start()]
    opened = before.count("(") + before.count("[") + before.count(r"\{")
    closed = before.count(")") + before.count("]") + before.count(r"\}")
    return match[0] if opened > closed else match[0].replace(",", "")
