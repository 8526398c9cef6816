"""HTML elements of a report; text is escaped unless it was built here.

So nothing that a model writes can act.

>>> build_element("p", "1 < 2 ", build_element("b", "<i>"), kind="note")
'<p class="note">1 &lt; 2 <b>&lt;i&gt;</b></p>'
"""

import html
from collections.abc import Iterable
from typing import Any

from papo_jax.report.stylesheet import STYLESHEET


class Html(str):
    """Text that is markup already: the one kind of text that `build_element` does not escape."""


def build_element(tag: str, *children: Any, kind: str = "", **attributes: str) -> Html:
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
    return Html(f"<{tag}{head}>{join_markup(children)}</{tag}>")


def join_markup(children: Iterable[Any]) -> Html:
    """Puts children one after the other, escaping those that are not `Html`."""
    return Html("".join(_escape_text(child) for child in children))


def build_table(header: Iterable[Any], rows: Iterable[Iterable[Any]], *, kind: str = "") -> Html:
    """Builds a table whose first column names the rows."""
    head = build_element("tr", *(build_element("th", name, scope="col") for name in header))
    body = []
    for name, *values in rows:
        cells = [build_element("td", value) for value in values]
        body.append(build_element("tr", build_element("th", name, scope="row"), *cells))
    parts = build_element("thead", head), build_element("tbody", *body)
    return build_element("div", build_element("table", *parts, kind=kind), kind="scroll")


def build_tree(value: Any) -> Html:
    """Shows a nested configuration as nested lists, names on the left."""
    if isinstance(value, dict) and value:
        pairs = (
            build_element("div", build_element("dt", key), build_element("dd", build_tree(item)))
            for key, item in value.items()
        )
        return build_element("dl", *pairs)
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return build_element("ol", *(build_element("li", build_tree(item)) for item in value))
    if isinstance(value, list):
        return build_element("code", ", ".join(map(str, value)) or "empty")
    return build_element("code", "null" if value is None else value)


def build_document(title: str, body: Html) -> str:
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
        f"{build_element('title', title)}\n<style>{STYLESHEET}</style>\n</head>\n"
        f"<body>\n{build_element('main', body)}\n</body>\n</html>\n"
    )


def _escape_text(child: Any) -> str:
    return child if isinstance(child, Html) else html.escape(str(child))
