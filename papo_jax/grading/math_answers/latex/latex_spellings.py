r"""Spellings of mathematics that have a plainer twin: characters, commands and environments."""

from papo_jax.grading.wording.latex_decoration import REMARKS

_CHARACTER_COMMANDS = dict(
    zip(
        "×÷·⋅∙π√∞∪∩≤⩽≦≥⩾≧≠±∓∈≈≡∅∖θαβγδλμφωσρτεΔ",
        """times div cdot cdot cdot pi sqrt infty cup cap le le le ge ge ge ne pm mp in approx equiv
        emptyset setminus theta alpha beta gamma delta lambda mu phi omega sigma rho tau epsilon
        Delta""".split(),
        strict=True,
    )
)
_FRACTIONS = dict(
    zip("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞", "12 13 23 14 34 15 25 35 45 16 56 18 38 58 78".split(), strict=True)
)
# The order matters where one holds another, as \$ holds $.
REPLACEMENTS = (
    {character: rf"\{command} " for character, command in _CHARACTER_COMMANDS.items()}
    | {
        character: rf"\frac{{{above}}}{{{below}}}"
        for character, (above, below) in _FRACTIONS.items()
    }
    | {"ℝ": r"\mathbb{R}", "℃": r"^\circ C", "℉": r"^\circ F"}
    | {"°": r"^\circ ", "º": r"^\circ ", "∘": r"^\circ ", r"^{\circ}": r"^\circ "}
    | {"²": "^2 ", "³": "^3 ", "**": "^"}
    | {"<=": r"\le ", ">=": r"\ge ", "!=": r"\ne ", "==": "="}
    | {"{,}": "", r"\$": "", "$": " ", r"\%": "%"}
)
COMMAND_REPLACEMENTS = (
    dict.fromkeys("dfrac tfrac cfrac".split(), r"\frac")
    | {"leq": r"\le ", "leqslant": r"\le ", "geq": r"\ge ", "geqslant": r"\ge "}
    | {"neq": r"\ne ", "lt": "<", "gt": ">", "simeq": r"\approx ", "cong": r"\equiv "}
    | {"ast": "*", "lor": ";", "quad": " ", "qquad": " ", "enspace": " ", "thinspace": " "}
    | dict.fromkeys("lvert rvert vert mvert".split(), "|")
    | {"lbrace": r"\{", "rbrace": r"\}", "langle": "(", "rangle": ")", "colon": ":"}
    | {"degree": r"^\circ ", "degrees": r"^\circ ", "percent": "%", "bar": r"\overline"}
    | {"varnothing": r"\emptyset ", "R": r"\mathbb{R}", "reals": r"\mathbb{R}"}
    | {"backslash": r"\setminus ", "mid": "|", "dollar": "", "textdollar": ""}
    | dict.fromkeys("boxed fbox framebox".split(), r"\mbox")
    | dict.fromkeys("mod bmod".split(), r"\pmod ")
    | dict.fromkeys(REMARKS, "")
)
# Commands without an argument, after which braces do but group.
SYMBOLS = frozenset(
    """pi infty cup cap le ge ne pm mp in times cdot div approx equiv circ alpha beta gamma delta
    epsilon theta lambda mu nu rho sigma tau phi varphi chi psi omega Delta Omega Phi
    setminus""".split()
)
