"""Matplotlib figures as inline SVG whose colors the page decides, so that one drawing serves light
and dark.

Colors are drawn as placeholder values and then renamed to CSS variables of the page. Text stays
text, so it takes the page's font and can be searched.
"""

import io
import re
from collections.abc import Callable
from typing import NamedTuple

import matplotlib
from matplotlib import figure as matplotlib_figure


class Ink(NamedTuple):
    """Placeholder colors: values that no default of matplotlib uses."""

    text: str = "#a10001"
    muted: str = "#a10002"
    grid: str = "#a10003"
    blue: str = "#a10004"
    orange: str = "#a10005"
    green: str = "#a10006"
    purple: str = "#a10007"


INK = Ink()
_VARIABLES = Ink(
    "var(--ink)",
    "var(--muted)",
    "var(--grid)",
    "var(--c-blue)",
    "var(--c-orange)",
    "var(--c-green)",
    "var(--c-purple)",
)
_LOOK = {
    "svg.fonttype": "none",
    "font.size": 9.0,
    "text.color": INK.text,
    "axes.edgecolor": INK.muted,
    "axes.labelcolor": INK.muted,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": False,
    "grid.color": INK.grid,
    "grid.linewidth": 0.7,
    "xtick.color": INK.muted,
    "ytick.color": INK.muted,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
}
# Matplotlib numbers its groups from 1 in every figure; several figures on a page would repeat those
# names.
_GROUP_NAMES = re.compile(
    r' id="(?:figure|axes|patch|line2d|text|xtick|ytick|legend|matplotlib\.axis|\w+Collection)_\d+"'
)
_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"([^>]*?)')
_HEIGHT = re.compile(r'(<svg[^>]*?) height="[^"]*"')


def draw(
    paint: Callable[[matplotlib_figure.Figure], None],
    *,
    label: str,
    size: tuple[float, float] = (5.2, 2.75),
) -> str:
    """Draws a figure; the same figure always gives the same text.

    Args:
      paint: fills the empty figure that it is given.
      label: what a screen reader says; unique on the page, since it also keeps the names inside the
        SVG apart.
      size: width and height in inches; the page stretches the width and keeps the ratio.

    Returns:
      An `<svg>` element.
    """
    with matplotlib.rc_context({**_LOOK, "svg.hashsalt": label}):
        drawing = matplotlib_figure.Figure(figsize=size, layout="constrained")
        paint(drawing)
        buffer = io.StringIO()
        no_metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        drawing.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    return _inline(buffer.getvalue(), label)


def _inline(text: str, label: str) -> str:
    """Strips what only a file needs, and gives the colors over to the page."""
    text = text[text.index("<svg") :].strip()
    text = _HEIGHT.sub(r"\1", _SIZE.sub(r"\1\2", text, count=1), count=1)
    text = _GROUP_NAMES.sub("", text)
    text = text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    for placeholder, variable in zip(INK, _VARIABLES):
        text = text.replace(placeholder, variable)
    return text
