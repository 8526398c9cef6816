"""Inspection of a text: the colors and the escaping of its HTML."""

import re

from papo_jax.inspection import TokenReading, render_html

READINGS = [
    TokenReading(text="<b>", probability=0.5, entropy=1.0, unit_polarity=0.02),
    TokenReading(text="7", probability=0.9, entropy=0.25, unit_polarity=-0.04),
    TokenReading(text="&", probability=1.0, entropy=0.0, unit_polarity=0.0),
]


def test_the_color_tells_the_sign_and_its_strength_the_size():
    page = render_html(READINGS)
    # 0.02, 0.04 and 0 of the largest, 0.04; blue for what contracts
    colors = re.findall(r"rgba\((\S+)\)", page)
    assert colors == ["230,120,0,0.50", "0,90,200,1.00", "0,90,200,0.00"]
    titles = re.findall(r'title="([^"]*)"', page)
    assert titles[1] == "p 0.900, H 0.250, T -0.0400"


def test_the_text_is_escaped():
    page = render_html(READINGS)
    assert re.findall(r">([^<>]*)</span>", page) == ["&lt;b&gt;", "7", "&amp;"]
    assert "<b>" not in page


def test_a_text_without_polarity_has_no_color():
    assert "rgba(0,90,200,0.00)" in render_html(READINGS[2:])
    assert render_html([]) == '<pre style="font-size: 1.1em"></pre>'
