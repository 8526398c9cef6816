"""Matplotlib figures as inline SVG whose colors the page decides: one drawing for light and dark.

Colors are drawn as placeholder values and then renamed to CSS variables of the page. Text stays
text, so it takes the page's font and can be searched.
"""

import io
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure


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
    text="var(--ink)",
    muted="var(--muted)",
    grid="var(--grid)",
    blue="var(--c-blue)",
    orange="var(--c-orange)",
    green="var(--c-green)",
    purple="var(--c-purple)",
)
_STYLE: dict[Any, Any] = {
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


def render_svg(
    paint_figure: Callable[[Figure], None], *, label: str, size: tuple[float, float] = (5.2, 2.75)
) -> str:
    """Renders a figure; the same figure always gives the same text.

    Args:
      paint_figure: fills the empty figure that it is given.
      label: what a screen reader says; unique on the page, since it also keeps the names inside the
        SVG apart.
      size: width and height in inches; the page stretches the width and keeps the ratio.

    Returns:
      An `<svg>` element.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": label}):
        figure = Figure(figsize=size, layout="constrained")
        paint_figure(figure)
        buffer = io.StringIO()
        no_metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    return _adapt_to_page(buffer.getvalue(), label)


def _adapt_to_page(text: str, label: str) -> str:
    """Strips what only a file needs, and leaves the colors to the page."""
    text = text[text.index("<svg") :].strip()
    text = _HEIGHT.sub(r"\1", _SIZE.sub(r"\1\2", text, count=1), count=1)
    text = _GROUP_NAMES.sub("", text)
    text = text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    for placeholder, variable in zip(INK, _VARIABLES, strict=True):
        text = text.replace(placeholder, variable)
    return text
