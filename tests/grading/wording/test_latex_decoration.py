"""LaTeX's decoration around an answer."""

import time

import pytest

from papo_jax.grading.wording.latex_decoration import unwrap_decoration

COMMANDS = """text textbf textit textrm textsf texttt textnormal emph mbox mathrm mathbf mathit
    mathsf mathtt boldsymbol bm pmb operatorname underline""".split()


@pytest.mark.parametrize("command", COMMANDS)
def test_arguments_are_shown(command):
    assert unwrap_decoration(rf"\{command}{{5}}") == "5"
    assert unwrap_decoration(rf"\{command} {{5}} a") == "5 a"
    assert unwrap_decoration(rf"\mathbf{{\{command}{{5}}}}") == "5"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"\textcolor{red}{5}", "5"),
        (r"\textcolor[rgb]{1,0,0}{5}", "5"),
        (r"\colorbox{red}{5}", "5"),
        (r"\fcolorbox{red}{blue}{5}", "5"),
        (r"\color{red}5", "5"),
        (r"\color[HTML]{FF0000} 5", " 5"),
        (r"{\bf 5}", "{ 5}"),
        (r"\operatorname*{5}", "5"),
        (r"\phantom{-}5", "5"),
        (r"5 \tag{1}", "5 "),
        (r"\displaystyle 5", " 5"),
        (r"\textbackslash{5}", r"\textbackslash{5}"),
        (r"\bfx", r"\bfx"),
        (r"\text{\{5\}}", r"\{5\}"),
        (r"\mathsf{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\mathsf{\frac{1}{2}", r"\mathsf{\frac{1}{2}"),
        ("5 {a}", "5 {a}"),
    ],
)
def test_decoration(text, plain):
    assert unwrap_decoration(text) == plain


@pytest.mark.parametrize(
    "piece", ["\\text{", "\\textcolor{", "{", "\\color", "\\text{a}", "\\", "["]
)
def test_hostile_texts_are_quick(piece):
    text = piece * (10_000 // len(piece))
    start = time.perf_counter()
    unwrap_decoration(text)
    unwrap_decoration(text + "}" * 10_000)
    assert time.perf_counter() - start < 0.5
