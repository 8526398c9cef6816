"""The report of a run: one page that stands alone, written from the files of its work directory."""

import pathlib

from papo_jax.report import charts, evaluation_figures, findings, plots, run_data
from papo_jax.report.evaluation_figures import Interval
from papo_jax.report.page import Html, document, element, join, table, tree
from papo_jax.report.run_data import Run, look_up
from papo_jax.report.series import number
from papo_jax.telemetry import runfiles

_SHOWN = 3  # right and wrong samples each, at either end of the run


def write(workdir: pathlib.Path) -> pathlib.Path:
    """Writes `report.html` from what a run has left in its work directory so far.

    A run that stopped anywhere has a report: it shows what there is and says what is missing. The
    same files give the same page, byte for byte.

    Args:
      workdir: holds any of `metrics.jsonl`, `samples.jsonl`, `evaluation.json`, `config.json`,
        `provenance.json`.

    Returns:
      The path of the page.
    """
    run = run_data.load(workdir)
    method, task = look_up(run.config, "method", "name"), look_up(run.config, "task", "name")
    title = f"{method or 'Run'} on {task or 'an unnamed task'}"
    sections = (
        _header(run, title),
        _warnings(run),
        _evaluation(run),
        _charts("Learning", charts.learning(run.rows)),
        _charts("Entropy and its control", charts.steering(run.rows)),
        _charts("Predicted and realized change of entropy", charts.prediction(run.rows)),
        _charts("Mechanics", charts.mechanics(run.rows)),
        _gallery(run.samples),
        _settings(run),
    )
    path = workdir / "report.html"
    runfiles.write_text(path, document(title, join(sections)))
    return path


def _header(run: Run, title: str) -> Html:
    missing = [element("p", " ".join(run.notes), kind="note")] if run.notes else []
    parts = [element("h1", title), element("p", findings.headline(run), kind="lead")]
    return element("header", *parts, _tiles(run), *missing)


def _tiles(run: Run) -> Html:
    """Repeats the few numbers that people compare between runs."""
    tiles = []
    for name, metric, unit in (
        ("Reward", "reward/mean", ""),
        ("Entropy", "entropy", " nats"),
        ("Length", "length/mean", " tokens"),
        ("Throughput", "tokens_per_second", " tokens/s"),
    ):
        ends = findings.ends_of(run.rows, metric)
        if ends:
            tiles.append(
                element(
                    "div",
                    name,
                    element("b", f"{_short(ends[0])} → {_short(ends[1])}{unit}"),
                    kind="tile",
                )
            )
    note = (
        [element("p", "Means of the first and of the last tenth of the steps.", kind="note")]
        if tiles
        else []
    )
    return join([element("div", *tiles, kind="tiles"), *note])


def _warnings(run: Run) -> Html:
    found = findings.cautions(run)
    if not run.rows and not found:
        return Html("")
    if not found:
        return element("section", element("h2", "Warnings"), element("p", "None."))
    header = ("What", "Where", "Worst", "Meaning")
    return element("section", element("h2", "Warnings"), table(header, found, kind="warnings"))


def _evaluation(run: Run) -> Html:
    """Shows the panel before and after training, the best evaluation between, and the course of the
    first figure."""
    title, found = element("h2", "Evaluation panel"), evaluation_figures.entries(run)
    measured = [
        (entry, evaluation_figures.measures(entry, run.evaluation.get("samples")))
        for entry in found
    ]
    measured = [(entry, figures) for entry, figures in measured if figures]
    if not measured:
        return element(
            "section", title, element("p", "No evaluation has been recorded.", kind="note")
        )
    names = list(dict.fromkeys(name for _, figures in measured for name in figures))
    course = plots.progress(_course(measured, names[0]), names[0])
    drawn = [_figure(course)] if len(measured) > 2 and course.svg else []
    shown = (
        _panel_table(run, measured, names),
        _source_table(run, measured),
        element("div", *drawn, kind="charts"),
    )
    return element("section", title, _panel_note(run), *shown)


def _panel_note(run: Run) -> Html:
    """Says what was asked, how it was sampled, and by which graders it was judged."""
    about, sampling, parts = run.evaluation.get("panel"), run.evaluation.get("sampling"), []
    versions = look_up(run.evaluation, "graders", "versions")
    for label, value in (
        ("task", look_up(about, "task")),
        ("problems", look_up(about, "problems")),
        ("samples a problem", run.evaluation.get("samples")),
        ("temperature", run.evaluation.get("temperature")),
        ("token limit", look_up(sampling, "max_new_tokens")),
        ("sampling seed", look_up(sampling, "seed")),
        (
            "graders",
            ", ".join(f"{name} {version}" for name, version in versions.items())
            if isinstance(versions, dict)
            else None,
        ),
        ("fingerprint", look_up(about, "fingerprint")),
    ):
        if value is not None:
            parts.append(f"{label} {value}")
    return element("p", "; ".join(parts), kind="note")


def _panel_table(
    run: Run, measured: list[tuple[dict, dict[str, Interval]]], names: list[str]
) -> Html:
    """A row a figure: first and last evaluation, their difference, and the best evaluation by the
    first figure."""
    (first_entry, first), (last_entry, last) = measured[0], measured[-1]
    header, paired = (
        ["", f"First (step {first_entry.get('step', 'unknown')})"],
        evaluation_figures.paired_difference(run),
    )
    columns = [[_share(first, name) for name in names]]
    if len(measured) > 1:
        header += [f"Last (step {last_entry.get('step', 'unknown')})", "Change"]
        columns += [
            [_share(last, name) for name in names],
            [_change(first, last, paired, name) for name in names],
        ]
    if len(measured) > 2:
        best_entry, best = max(
            measured, key=lambda pair: pair[1][names[0]].value if names[0] in pair[1] else -1.0
        )
        header.append(f"Best by {names[0]} (step {best_entry.get('step', 'unknown')})")
        columns.append([_share(best, name) for name in names])
    note = "Brackets: 95 % bootstrap intervals over problems. The best is chosen on this very panel, so it flatters."
    return join([table(header, zip(names, *columns)), element("p", note, kind="note")])


def _source_table(run: Run, measured: list[tuple[dict, dict[str, Interval]]]) -> Html:
    """A row a source of a mixture: its problems, and its figures after the last evaluation beside
    those of the first."""
    samples, (first, _), (last, _) = run.evaluation.get("samples"), measured[0], measured[-1]
    before, after = (evaluation_figures.by_source(entry, samples) for entry in (first, last))
    if not after:
        return Html("")
    names = [f"{word}@{samples}" for word in ("avg", "pass", "maj")]
    header, rows = (
        ["Source", "Problems"],
        [[source, problems] for source, (problems, _) in after.items()],
    )
    for entry, parts, shown in ((first, before, names[:1]), (last, after, names))[
        len(measured) == 1 :
    ]:
        header += [f"{name} (step {entry.get('step', 'unknown')})" for name in shown]
        for row in rows:
            row += [_share(parts.get(row[0], (0, {}))[1], name) for name in shown]
    return table(header, rows)


def _share(figures: dict[str, Interval], name: str) -> str:
    return evaluation_figures.percent(figures[name]) if name in figures else "missing"


def _change(
    first: dict[str, Interval], last: dict[str, Interval], paired: dict[str, Interval], name: str
) -> str:
    if name in paired:
        return f"{evaluation_figures.points(paired[name])}, paired"
    if name not in first or name not in last:
        return "missing"
    return evaluation_figures.points(Interval(last[name].value - first[name].value, None, None))


def _course(
    measured: list[tuple[dict, dict[str, Interval]]], name: str
) -> list[tuple[float, float, float, float]]:
    course = []
    for entry, figures in measured:
        step, share = number(entry.get("step")), figures.get(name)
        if step is not None and share:
            low, high = (share.value if end is None else end for end in (share.low, share.high))
            course.append((step, share.value, low, high))
    return course


def _charts(title: str, found: list[plots.Chart]) -> Html:
    drawn = [_figure(chart) for chart in found if chart.svg]
    absent = [f"{chart.title} ({_abbreviated(chart.metrics)})" for chart in found if not chart.svg]
    note = (
        [element("p", f"Not drawn, for want of metrics: {'; '.join(absent)}.", kind="note")]
        if absent
        else []
    )
    return element("section", element("h2", title), element("div", *drawn, kind="charts"), *note)


def _abbreviated(metrics: tuple[str, ...]) -> str:
    return ", ".join(metrics) if len(metrics) <= 3 else f"{metrics[0]} and {len(metrics) - 1} more"


def _figure(chart: plots.Chart) -> Html:
    kind = "wide" if chart.wide else ""
    caption = element("figcaption", chart.reading)
    return element("figure", element("h3", chart.title), Html(chart.svg), caption, kind=kind)


def _gallery(samples: list[dict]) -> Html:
    """Sets samples of the first recorded step beside samples of the last."""
    title = element("h2", "Samples")
    stepped = [sample for sample in samples if number(sample.get("step")) is not None]
    if not stepped:
        return element(
            "section", title, element("p", "No samples have been recorded.", kind="note")
        )
    steps = sorted({number(sample["step"]) for sample in stepped})
    columns = []
    for step in dict.fromkeys((steps[0], steps[-1])):
        chosen = _choose([sample for sample in stepped if number(sample["step"]) == step])
        columns.append(element("div", element("h3", f"Step {step:g}"), *map(_card, chosen)))
    return element("section", title, element("div", *columns, kind="gallery"))


def _choose(samples: list[dict]) -> list[dict]:
    right = [sample for sample in samples if _is_right(sample)]
    wrong = [sample for sample in samples if not _is_right(sample)]
    return right[:_SHOWN] + wrong[:_SHOWN]


def _is_right(sample: dict) -> bool:
    return (number(sample.get("reward")) or 0.0) > 0.0


def _card(sample: dict) -> Html:
    named = ("problem", "answer", "reward", "advantage")
    facts = [f"{name} {_short(sample[name])}" for name in named if sample.get(name) is not None]
    facts += ["truncated"] if sample.get("truncated") else []
    verdict = "right" if _is_right(sample) else "wrong"
    return element(
        "div",
        element("div", element("b", verdict.capitalize()), "; ".join(["", *facts]), kind="note"),
        element("pre", sample.get("prompt", "(no prompt)"), kind="prompt"),
        element("pre", sample.get("completion", "(no completion)")),
        kind=f"card {verdict}",
    )


def _settings(run: Run) -> Html:
    parts = []
    for name, value in (("Config", run.config), ("Provenance", run.provenance)):
        if value:
            parts.append(element("details", element("summary", name), tree(value)))
        else:
            parts.append(element("p", f"{name}: not recorded.", kind="note"))
    return element("section", element("h2", "How it was run"), *parts)


def _short(value: object) -> str:
    """Formats a number to three digits, and leaves other values as they are."""
    if isinstance(value, bool) or number(value) is None:
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
