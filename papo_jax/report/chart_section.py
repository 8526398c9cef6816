"""Chart sections of a report: the charts that could be drawn, and what the others lack."""

from papo_jax.report.markup import Html, build_element
from papo_jax.report.plots import Chart


def build_chart_section(title: str, charts: list[Chart]) -> Html:
    """Shows charts under a title, and names those that have no metrics."""
    drawn = [build_figure(chart) for chart in charts if chart.svg]
    absent = [
        f"{chart.title} ({_abbreviate_metrics(chart.metrics)})" for chart in charts if not chart.svg
    ]
    parts = [build_element("h2", title), build_element("div", *drawn, kind="charts")]
    if absent:
        note = f"Not drawn, for want of metrics: {'; '.join(absent)}."
        parts.append(build_element("p", note, kind="note"))
    return build_element("section", *parts)


def build_figure(chart: Chart) -> Html:
    """Shows one chart with its title above and how to read it below."""
    title, caption = build_element("h3", chart.title), build_element("figcaption", chart.reading)
    kind = "wide" if chart.wide else ""
    return build_element("figure", title, Html(chart.svg), caption, kind=kind)


def _abbreviate_metrics(metrics: tuple[str, ...]) -> str:
    return ", ".join(metrics) if len(metrics) <= 3 else f"{metrics[0]} and {len(metrics) - 1} more"
