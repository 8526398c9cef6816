"""Characters with a plain twin."""

import sys
import unicodedata

from papo_jax.grading.wording.characters import DASHES, MINUS_SIGNS, SPACES, replace_characters


def test_every_dash_of_unicode_is_a_hyphen():
    dashes = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) == "Pd"]
    assert len(dashes) >= 25
    assert set(dashes) - {"-"} <= set(DASHES)
    assert replace_characters("".join(dashes)) == "-" * len(dashes)
    assert set(MINUS_SIGNS) <= set(DASHES)
    assert replace_characters("-5 \u207b5") == "-5 \u207b5"  # plain, and a superscript


def test_every_space_of_unicode_but_those_that_end_a_line_is_one():
    spaces = [
        chr(n) for n in range(128, sys.maxunicode + 1) if unicodedata.category(chr(n)) == "Zs"
    ]
    assert set(spaces) - {"\u1680"} <= set(SPACES)
    assert replace_characters("1\u202f000\u3000a") == "1 000 a"


def test_what_nobody_sees_goes():
    assert replace_characters("-\u200b37\ufeff \u202d5\u202c") == "-37 5"
    assert replace_characters("4\u200b2") == "4\u200b2"  # where it keeps two digits apart
