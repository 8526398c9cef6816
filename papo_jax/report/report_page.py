"""Report of a run: one page that stands alone, written from the files of its work directory."""

import pathlib

from papo_jax.json_files import look_up
from papo_jax.report import charts
from papo_jax.report.cautions import find_cautions
from papo_jax.report.chart_section import build_chart_section
from papo_jax.report.evaluation_section import build_evaluation_section
from papo_jax.report.formatting import format_number
from papo_jax.report.headline import write_headline
from papo_jax.report.markup import (
    Html,
    build_document,
    build_element,
    build_table,
    build_tree,
    join_markup,
)
from papo_jax.report.run_data import RunData, load_run_data
from papo_jax.report.sample_gallery import build_gallery
from papo_jax.report.series import first_and_last_means
from papo_jax.telemetry import runfiles

_TILES = (
    ("Reward", "reward/mean", ""),
    ("Entropy", "entropy", " nats"),
    ("Length", "length/mean", " tokens"),
    ("Throughput", "tokens_per_second", " tokens/s"),
)


def write_report(workdir: pathlib.Path) -> pathlib.Path:
    """Writes `report.html` from what a run has left in its work directory so far.

    A run that stopped anywhere has a report: it shows what there is and says what is missing. The
    same files give the same page, byte for byte.

    Args:
      workdir: holds any of `metrics.jsonl`, `samples.jsonl`, `evaluation.json`, `config.json`,
        `provenance.json`.

    Returns:
      The path of the page.
    """
    run = load_run_data(workdir)
    method, task = look_up(run.config, "method", "name"), look_up(run.config, "task", "name")
    title = f"{method or 'Run'} on {task or 'an unnamed task'}"
    sections = (
        _build_header(run, title),
        _build_warnings(run),
        build_evaluation_section(run.evaluation),
        build_chart_section("Learning", charts.draw_learning(run.rows)),
        build_chart_section("Entropy and its control", charts.draw_entropy_control(run.rows)),
        build_chart_section(
            "Predicted and realized change of entropy", charts.draw_entropy_prediction(run.rows)
        ),
        build_chart_section("Mechanics", charts.draw_mechanics(run.rows)),
        build_gallery(run.samples),
        _build_settings(run),
    )
    path = workdir / "report.html"
    runfiles.write_text(path, build_document(title, join_markup(sections)))
    return path


def _build_header(run: RunData, title: str) -> Html:
    notes = [build_element("p", " ".join(run.notes), kind="note")] if run.notes else []
    headline = build_element("p", write_headline(run), kind="lead")
    return build_element("header", build_element("h1", title), headline, _build_tiles(run), *notes)


def _build_tiles(run: RunData) -> Html:
    """Repeats the few numbers that people compare between runs."""
    tiles = []
    for name, metric, unit in _TILES:
        means = first_and_last_means(run.rows, metric)
        if means:
            first, last = map(format_number, means)
            change = build_element("b", f"{first} → {last}{unit}")
            tiles.append(build_element("div", name, change, kind="tile"))
    parts = [build_element("div", *tiles, kind="tiles")]
    if tiles:
        note = "Means of the first and of the last tenth of the steps."
        parts.append(build_element("p", note, kind="note"))
    return join_markup(parts)


def _build_warnings(run: RunData) -> Html:
    found = find_cautions(run)
    title = build_element("h2", "Warnings")
    if found:
        header = ("What", "Where", "Worst", "Meaning")
        return build_element("section", title, build_table(header, found, kind="warnings"))
    if run.rows:
        return build_element("section", title, build_element("p", "None."))
    return Html("")


def _build_settings(run: RunData) -> Html:
    parts = []
    for name, value in (("Config", run.config), ("Provenance", run.provenance)):
        if value:
            summary = build_element("summary", name)
            parts.append(build_element("details", summary, build_tree(value)))
        else:
            parts.append(build_element("p", f"{name}: not recorded.", kind="note"))
    return build_element("section", build_element("h2", "How it was run"), *parts)
