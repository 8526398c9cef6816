"""The HTML that a report is made of. Text is escaped unless it was built here, so nothing a model
says can act.

>>> element("p", "1 < 2 ", element("b", "<i>"), kind="note")
'<p class="note">1 &lt; 2 <b>&lt;i&gt;</b></p>'
"""

import html
from collections.abc import Iterable
from typing import Any


class Html(str):
    """Text that is markup already: the one kind of text that `element` does not escape."""


def element(tag: str, *children: Any, kind: str = "", **attributes: str) -> Html:
    """Builds one element.

    Args:
      tag: its name.
      *children: `Html` goes in as it is; everything else is turned into text and escaped.
      kind: the `class` attribute; none where empty.
      **attributes: the others, escaped.

    Returns:
      The element as `Html`.
    """
    named = {"class": kind, **attributes} if kind else attributes
    head = "".join(f' {name}="{html.escape(str(value))}"' for name, value in named.items())
    return Html(f"<{tag}{head}>{join(children)}</{tag}>")


def join(children: Iterable[Any]) -> Html:
    """Puts children one after the other, escaping those that are not `Html`."""
    return Html(
        "".join(child if isinstance(child, Html) else html.escape(str(child)) for child in children)
    )


def table(header: Iterable[Any], rows: Iterable[Iterable[Any]], *, kind: str = "") -> Html:
    """Builds a table whose first column names the rows."""
    head = element("tr", *(element("th", name, scope="col") for name in header))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    inner = element("table", element("thead", head), element("tbody", *body), kind=kind)
    return element("div", inner, kind="scroll")


def tree(value: Any) -> Html:
    """Shows a nested configuration as nested lists, names on the left."""
    if isinstance(value, dict) and value:
        pairs = (
            element("div", element("dt", key), element("dd", tree(item)))
            for key, item in value.items()
        )
        return element("dl", *pairs)
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return element("ol", *(element("li", tree(item)) for item in value))
    if isinstance(value, list):
        return element("code", ", ".join(map(str, value)) or "empty")
    return element("code", "null" if value is None else value)


def document(title: str, body: Html) -> str:
    """Wraps a body into a whole page that refers to nothing outside itself.

    Args:
      title: the window's title, as text.
      body: the page's content.

    Returns:
      The page. Its content policy forbids scripts and every load, should markup ever slip through.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"{element('title', title)}\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{element('main', body)}\n</body>\n</html>\n"
    )


# The --c names are the colors of the charts: Okabe and Ito's, which color-blind readers can tell
# apart.
_STYLE = """
:root { --page: #fdfdfc; --card: #fff; --ink: #1d2226; --muted: #5b6670; --rule: #dfe3e6; --grid: #ebeef0;
  --c-blue: #0072b2; --c-orange: #d55e00; --c-green: #008a65; --c-purple: #a8568a; --warn: #fbf1e4; }
@media (prefers-color-scheme: dark) { :root { --page: #14181b; --card: #1b2024; --ink: #e4e8eb; --muted: #9aa6af;
  --rule: #333b41; --grid: #2a3136; --c-blue: #5db8ee; --c-orange: #f0914d; --c-green: #3ec79d; --c-purple: #dd9cc4;
  --warn: #33291c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 3rem 0 1rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
h3 { font-size: .95rem; margin: 0; }
p { max-width: 76ch; margin: .5rem 0; overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; }
.note, figcaption { color: var(--muted); font-size: .85rem; line-height: 1.45; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 1.5rem 0 0; }
.tile { border-left: 3px solid var(--c-blue); padding: .1rem 0 .1rem .8rem; }
.tile b { display: block; font-size: 1.2rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 2rem 2rem; }
.charts > .wide { grid-column: 1 / -1; }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; margin: .35rem 0 .25rem; }
figure svg text { font-family: inherit !important; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem 1.4rem .4rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { color: var(--muted); font-weight: 500; }
tbody th { font-weight: 600; white-space: nowrap; }
.warnings { background: var(--warn); width: 100%; }
.warnings th, .warnings td { padding-left: .8rem; }
.gallery { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.25rem 2rem; }
.card { background: var(--card); border: 1px solid var(--rule); border-left: 3px solid var(--muted);
  border-radius: 4px; padding: .7rem .9rem; margin-top: .8rem; }
.right { border-left-color: var(--c-blue); }
.wrong { border-left-color: var(--c-orange); }
pre, code { font: .82rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; margin: .3rem 0;
  max-height: 17rem; overflow: auto; }
pre.prompt { color: var(--muted); }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; }
dl, ol { margin: .2rem 0 .2rem 1.1rem; padding: 0; }
dl > div { display: flex; flex-wrap: wrap; gap: 0 .6rem; }
dl > div:has(> dd > dl) { display: block; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 760px) { .charts, .gallery { grid-template-columns: minmax(0, 1fr); } }
@media print { main { max-width: none; padding: 0; } figure, .card { break-inside: avoid; } }
"""
