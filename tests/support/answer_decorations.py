"""Decorations that language models put around an answer: fonts, colors, boxes, words and layout."""

_COMMANDS = r"""
    \text \textbf \textit \textrm \textsf \texttt \textsc \textup \textmd \textnormal \emph \mbox
    \hbox \mathrm \mathbf \mathit \mathsf \mathtt \mathnormal \boldsymbol \pmb \bm \operatorname
    \operatorname* \underline \uline \mathop \mathord \ensuremath \boxed \fbox \framebox \smash
""".split()
_SWITCHES = r"""
    \displaystyle \textstyle \scriptstyle \large \Large \LARGE \huge \Huge \small \normalsize \tiny
    \bf \rm \it \sf \tt \bfseries \itshape \boldmath
""".split()
_OTHERS = r"""
    \textcolor{red}{@}
    \textcolor[rgb]{1,0,0}{@}
    \color{red}@
    \color{blue}{@}
    {\color{red} @}
    {\color[HTML]{FF0000}@}
    \colorbox{yellow}{@}
    \colorbox{yellow}{$@$}
    \fcolorbox{red}{white}{$@$}
    \mathbf{\textcolor{red}{@}}
    \underline{\mathbf{@}}
    \underline{\underline{@}}
    \text{\textbf{@}}
    \displaystyle{\mathbf{@}}
    {@}
    {{@}}
    $@$
    $$@$$
    \(@\)
    \[ @ \]
    \, @ \,
    \; @ \;
    \quad @ \quad
    ~@~
    \! @ \!
    @.
    **@**
    \hspace{1em}@
    @ \tag{1}
    @ \label{a}
    @ \checkmark
    @ \blacksquare
    \begin{aligned} @ \end{aligned}
    \begin{aligned} & @ \end{aligned}
    \begin{align*} @ \end{align*}
    \begin{gathered} @ \end{gathered}
    \begin{equation} @ \end{equation}
    \begin{equation*} @ \end{equation*}
    \begin{split} @ \end{split}
    \begin{center} @ \end{center}
    The answer is @
    The answer is: @
    The answer is $@$
    the final answer is @
    The correct answer is @
    Final answer: @
    Answer: @
    answer = @
    So the answer is @
    \text{The answer is } @
    \text{The answer is: } @
    \text{The final answer is } @
    \text{Answer: } @
    \text{Answer:}\ @
    \textbf{Answer: } @
    \textbf{Answer:} $@$
    \text{The answer is $@$}
    \text{The answer is } \mathbf{@}
    \therefore @
"""


def decorate_answer(answer: str) -> list[str]:
    r"""Writes an answer in every decoration, as the content of a box.

    Args:
      answer: in LaTeX, such as "\\frac{1}{2}".
    """
    lines = [f"{command}{{@}}" for command in _COMMANDS]
    lines += [f"{command} @" for command in _SWITCHES] + [
        f"{{{command} @}}" for command in _SWITCHES
    ]
    lines += [line.strip() for line in _OTHERS.strip().splitlines()]
    return [line.replace("@", answer) for line in lines]
