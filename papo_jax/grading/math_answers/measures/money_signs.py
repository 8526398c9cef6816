r"""Signs of money, rewritten as units behind their number: LaTeX would not keep them there.

>>> write_money_as_unit(r"\$18.90"), write_money_as_unit("€5 million")
('18.90«dollars»', '5 million«euros»')
>>> write_money_as_unit(r"\$5k"), write_money_as_unit("$5$"), write_money_as_unit(r"\$2x")
('5«thousand dollars»', '$5$', '\\$2x')
"""

import re

from papo_jax.grading.wording.multipliers import find_multiplier

NUMBER = r"(?:[0-9]+(?:(?:,\\!|,|\{,\}|\\,)[ ]?[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)"
_NAMES = {"$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₹": "rupees", "¢": "cents"}
_SIGN = r"(?P<sign>\\\$|\$|€|£|¥|₹|Rs\.?(?= ?[0-9]))"
_END = (  # of an amount: no formula goes on behind it
    r"(?![0-9]|[.,](?:\\!)?\s*[0-9])(?=\s*(?:$|[,;:.)\]}$«~]"
    r"|\\(?:text|mathrm|mbox|quad|checkmark|blacksquare|[,;: )\]$%!])"
    r"|[A-Za-z]{2}|/\s*[A-Za-z\\]))"
)
_BEFORE = re.compile(
    rf"{_SIGN}\s*(?P<minus>-?)\s*(?P<number>{NUMBER})(?P<letter>[kKMBmb]n?(?![A-Za-z]))?"
    rf"(?P<words>\s*(?:hundred|thousand|million|billion|trillion|lakh|crore)s?(?![A-Za-z]))?{_END}"
)
_AFTER = re.compile(rf"(?P<number>{NUMBER})\s*(?P<sign>€|£|¥|₹|¢|\\\$)(?!\s*[0-9])")
_SCALES = {10**3: "thousand", 10**6: "million"}
_UNESCAPED = re.compile(r"(?<!\\)\$")


def write_money_as_unit(text: str) -> str:
    r"""Rewrites \$5 as 5«dollars»; a sign at a formula stays.

    Args:
      text: LaTeX; a dollar sign without a backslash is money if it has no partner.
    """
    if not any(sign in text for sign in ("$", "€", "£", "¥", "₹", "¢", "Rs")):
        return text
    has_partners = len(_UNESCAPED.findall(text)) % 2 == 0

    def rewrite(match: re.Match[str]) -> str:
        if match["sign"] == "$" and has_partners:
            return match[0]
        found = {"minus": "", "words": "", "letter": ""} | match.groupdict(default="")
        name = _NAMES.get(found["sign"].removeprefix("\\"), "rupees")
        scale = find_multiplier(found["letter"], 0, money=True)
        scale_name = _SCALES.get(int(scale.factor), "billion") + " " if scale else ""
        return f"{found['minus']}{found['number']}{found['words']}«{scale_name}{name}»"

    return _AFTER.sub(rewrite, _BEFORE.sub(rewrite, text))
