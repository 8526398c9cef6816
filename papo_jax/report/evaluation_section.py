"""Evaluation section of a report: a table of figures, the sources, and the course over training."""

from papo_jax.evaluation.figures import Figures, Interval
from papo_jax.evaluation.schema import Entry, Evaluation
from papo_jax.report import plots
from papo_jax.report.chart_section import build_figure
from papo_jax.report.formatting import format_difference, format_share
from papo_jax.report.markup import Html, build_element, build_table, join_markup


def build_evaluation_section(evaluation: Evaluation) -> Html:
    """Shows the evaluation set before and after training, the best between, and the course."""
    title = build_element("h2", "Evaluation set")
    entries = [entry for entry in evaluation.entries if entry.scores.figures]
    if not entries:
        note = build_element("p", "No evaluation has been recorded.", kind="note")
        return build_element("section", title, note)

    # The first figure, avg@k, is the one that is drawn over training.
    names = list(dict.fromkeys(name for entry in entries for name in entry.scores.figures))
    course = plots.draw_progress(_course_points(entries, names[0]), names[0])
    drawn = [build_figure(course)] if len(entries) > 2 and course.svg else []
    return build_element(
        "section",
        title,
        _build_note(evaluation),
        _build_figure_table(evaluation, entries, names),
        _build_source_table(evaluation, entries),
        build_element("div", *drawn, kind="charts"),
    )


def _build_note(evaluation: Evaluation) -> Html:
    """Says what was asked, how it was sampled, and by which graders it was judged."""
    eval_set, sampling = evaluation.eval_set, evaluation.sampling
    versions = evaluation.graders.versions
    facts = (
        ("task", eval_set.task or None),
        ("problems", eval_set.problems or None),
        ("samples a problem", sampling.samples or None),
        ("temperature", sampling.temperature),
        ("token limit", sampling.max_new_tokens),
        ("sampling seed", sampling.seed),
        ("graders", ", ".join(f"{name} {version}" for name, version in versions.items()) or None),
        ("fingerprint", eval_set.fingerprint or None),
    )
    parts = [f"{label} {value}" for label, value in facts if value is not None]
    return build_element("p", "; ".join(parts), kind="note")


def _build_figure_table(evaluation: Evaluation, entries: list[Entry], names: list[str]) -> Html:
    """Builds a row a figure: first and last evaluation, their difference, and the best one."""
    first, last = entries[0], entries[-1]
    header = ["", f"First (step {first.step})"]
    columns = [[_format_figure(first.scores.figures, name) for name in names]]

    if len(entries) > 1:
        header += [f"Last (step {last.step})", "Change"]
        columns += [
            [_format_figure(last.scores.figures, name) for name in names],
            [_format_change(first, last, evaluation.paired_difference, name) for name in names],
        ]
    if len(entries) > 2:
        best = max(entries, key=lambda entry: _value_or_least(entry.scores.figures, names[0]))
        header.append(f"Best by {names[0]} (step {best.step})")
        columns.append([_format_figure(best.scores.figures, name) for name in names])

    note = (
        "Brackets: 95 % bootstrap intervals over problems. The best is chosen on this very"
        " evaluation set, so it flatters."
    )
    table = build_table(header, zip(names, *columns, strict=True))
    return join_markup([table, build_element("p", note, kind="note")])


def _build_source_table(evaluation: Evaluation, entries: list[Entry]) -> Html:
    """Builds a row a source of a mixture: its problems, and its figures at first and at last."""
    first, last = entries[0], entries[-1]
    sources = last.scores.by_source
    if not sources:
        return Html("")
    names = [f"{word}@{evaluation.sampling.samples}" for word in ("avg", "pass", "maj")]
    header = ["Source", "Problems"]
    rows = [[source, part.problems] for source, part in sources.items()]

    shown = [(first, names[:1]), (last, names)] if len(entries) > 1 else [(last, names)]
    for entry, columns in shown:
        header += [f"{name} (step {entry.step})" for name in columns]
        for row in rows:
            part = entry.scores.by_source.get(row[0])
            row += [_format_figure(part.figures if part else {}, name) for name in columns]
    return build_table(header, rows)


def _format_figure(figures: Figures, name: str) -> str:
    return format_share(figures[name]) if name in figures else "missing"


def _format_change(first: Entry, last: Entry, paired: Figures, name: str) -> str:
    if name in paired:
        return f"{format_difference(paired[name])}, paired"
    before, after = first.scores.figures, last.scores.figures
    if name not in before or name not in after:
        return "missing"
    return format_difference(Interval(after[name].value - before[name].value, None, None))


def _value_or_least(figures: Figures, name: str) -> float:
    return figures[name].value if name in figures else -1.0


def _course_points(entries: list[Entry], name: str) -> list[plots.ProgressPoint]:
    """Returns a figure over steps; a share without an interval is its own bounds."""
    points = []
    for entry in entries:
        if name in entry.scores.figures:
            value, *bounds = entry.scores.figures[name]
            low, high = (value if bound is None else bound for bound in bounds)
            points.append(plots.ProgressPoint(step=entry.step, value=value, low=low, high=high))
    return points
