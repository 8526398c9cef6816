"""Report page: its words and figures, escaping, one file without references, partial runs."""

import html.parser
import json
import math

import numpy as np
import pytest

from papo_jax.report import (
    cautions,
    charts,
    entropy_change_plots,
    headline,
    markup,
    report_page,
    run_data,
    series,
)
from papo_jax.telemetry import runfiles
from tests.support.seeds import make_rng

HOSTILE = "<script>alert('x')</script>&\"\ud800\x00"
VOID = {"meta", "br"}


class Checker(html.parser.HTMLParser):
    """Collects tags, identifiers and references of a page; every element must be closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.identifiers, self.references = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.identifiers += [value for name, value in attrs if name == "id"]
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_page(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


def make_interval(value):
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def make_entry(step, value):
    return {
        "step": step,
        "avg_at_k": make_interval(value),
        "pass_at_k": {"16": make_interval(value + 0.2), "2": make_interval(value + 0.1)},
        "maj_at_k": {"16": make_interval(value)},
    }


def make_row(step):
    """Makes a row with figures known by hand: realized = directional = step - 2, polarity cubed."""
    row = {
        "step": step,
        "reward/mean": step / 10,
        "entropy": 1.0,
        "entropy_change/polarity": float((step - 2) ** 3),
    }
    row |= {"entropy_change/directional": step - 2.0, "entropy_change/realized": step - 2.0}
    row |= {f"entropy_change/realized/{group}": 0.1 for group in entropy_change_plots.TOKEN_GROUPS}
    return row | {
        "time/rollout": 60.0,
        "time/grade": 1.0,
        "time/update": 9.0,
        "polarity/negative_mass": -3.0,
    }


def write_run(workdir, *, steps=5, text="tiny"):
    for step in range(steps):
        runfiles.append_row(workdir / "metrics.jsonl", make_row(step))
        sample = {"step": step, "problem": text, "prompt": text, "completion": text, "answer": text}
        runfiles.append_row(
            workdir / "samples.jsonl", sample | {"reward": 1.0, "advantage": 0.5, "truncated": True}
        )
    about = {"task": text, "problems": 64, "fingerprint": text}
    evaluation = {
        "panel": about,
        "samples": 16,
        "temperature": 1.0,
        "entries": [make_entry(0, 0.3), make_entry(5, 0.6)],
    }
    runfiles.write_json(workdir / "evaluation.json", evaluation)
    config = {
        "model": {"path": text},
        "method": {"name": text},
        "task": {"name": text},
        "training": {"steps": 8},
    }
    runfiles.write_json(workdir / "config.json", config | {text: [text, {text: text}]})
    runfiles.write_json(workdir / "provenance.json", {"versions": {text: text}})


def test_the_headline_says_what_happened(tmp_path):
    write_run(tmp_path)
    # 5 steps of 60 + 1 + 9 seconds are 350 seconds
    assert headline.write_headline(run_data.load_run_data(tmp_path)) == (
        "tiny trained tiny on tiny for 5 of 8 steps in 5 min 50 s of rollout, grading and updates;"
        " on the 64 problems of the evaluation set, avg@16 went from 30.0 % [25.0, 35.0] at step 0"
        " to 60.0 % [55.0, 65.0] at step 5, a change of +30.0 points, where the two intervals do"
        " not overlap."
    )


def test_a_paired_difference_is_preferred(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "evaluation.json"
    runfiles.write_json(
        path, json.loads(path.read_text()) | {"paired_difference": make_interval(0.25)}
    )
    assert "a paired difference of +25.0 points [+20.0, +30.0]" in headline.write_headline(
        run_data.load_run_data(tmp_path)
    )
    assert "+25.0 points [+20.0, +30.0], paired" in report_page.write_report(tmp_path).read_text()


def test_the_page_says_how_the_evaluation_set_was_judged(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "evaluation.json"
    document = json.loads(path.read_text())
    document |= {
        "sampling": {"max_new_tokens": 24, "seed": 7},
        "graders": {"versions": {"integer": "1", "<b>": "2"}},
    }
    first, last = document["entries"]
    for found, value in ((first, 0.25), (last, 0.5)):
        found["by_source"] = {
            "<math>": {"problems": 3, **make_entry(0, value)},
            "odd": {"problems": "x"},
        }
    last |= {"errors": 12, "timeouts": 5}
    runfiles.write_json(path, document)
    (tmp_path / "metrics.jsonl").unlink()  # an evaluation alone has its warnings too
    text = report_page.write_report(tmp_path).read_text()
    check_page(text)
    assert "token limit 24; sampling seed 7; graders integer 1, &lt;b&gt; 2; fingerprint" in text
    for cell in (
        "<td>1 of 2 evaluations</td>",
        "<td>12 answers at step 5, 5 by a timeout</td>",
        "avg@16 (step 0)",
        "pass@16 (step 5)",
    ):
        assert cell in text
    # avg@16 before and after, then pass@16 = 0.2 more, and maj@16
    row = text[text.index('<th scope="row">&lt;math&gt;') :].partition("</tr>")[0]
    assert [cell.partition(" ")[0] for cell in row.split("<td>")[1:]] == [
        "3</td>",
        "25.0",
        "50.0",
        "70.0",
        "50.0",
    ]


def test_an_evaluation_with_every_verdict_is_no_warning(tmp_path):
    write_run(tmp_path)
    assert not [
        caution
        for caution in cautions.find_cautions(run_data.load_run_data(tmp_path))
        if caution.what == "Evaluation without verdicts"
    ]
    assert "Source" not in report_page.write_report(tmp_path).read_text()


def test_the_page_shows_the_evaluation_set_and_every_part(tmp_path):
    write_run(tmp_path)
    text = report_page.write_report(tmp_path).read_text()
    for name in ("avg@16", "pass@2", "pass@16", "maj@16"):
        assert f'<th scope="row">{name}</th>' in text
    assert text.index("pass@2<") < text.index("pass@16<")
    for title in (
        "Reward",
        "Entropy",
        "Where the change comes from",
        "Time per step",
        "Step 0",
        "Step 4",
        "Config",
    ):
        assert f">{title}</" in text
    # cubes of -2 to 2 keep the order: Spearman 1; Pearson 34 / sqrt(10 * 130) = 0.943
    assert "By polarity: Pearson 0.94, Spearman 1.00, n = 5" in text
    assert "By derivative: Pearson 1.00, Spearman 1.00, n = 5" in text


def test_all_text_of_a_run_is_escaped(tmp_path):
    write_run(tmp_path, text=HOSTILE)
    text = report_page.write_report(tmp_path).read_text()
    assert "script" not in check_page(text).tags
    assert "<script" not in text
    # title twice, headline, evaluation note, samples, config, provenance
    assert text.count("&lt;script&gt;") > 20


def test_the_page_stands_alone_and_is_sound(tmp_path):
    write_run(tmp_path)
    found = check_page(report_page.write_report(tmp_path).read_text())
    assert len(found.identifiers) == len(set(found.identifiers))
    assert all(reference.startswith("#") for reference in found.references)
    assert {reference[1:] for reference in found.references} <= set(found.identifiers)
    assert not {"script", "link", "img", "iframe"} & set(found.tags)


def test_the_same_files_give_the_same_bytes(tmp_path):
    write_run(tmp_path)
    first = report_page.write_report(tmp_path).read_bytes()
    assert report_page.write_report(tmp_path).read_bytes() == first


def test_colors_belong_to_the_page(tmp_path):
    chart = charts.draw_learning([make_row(0), make_row(1)])[0]
    assert "var(--c-blue)" in chart.svg
    assert "#a100" not in chart.svg


def test_an_empty_directory_has_a_report(tmp_path):
    text = report_page.write_report(tmp_path).read_text()
    check_page(text)
    for name in (
        "metrics.jsonl",
        "samples.jsonl",
        "evaluation.json",
        "config.json",
        "provenance.json",
    ):
        assert f"{name} is missing." in text
    assert "there is no evaluation" in text
    assert "<svg" not in text


def test_a_run_of_one_step_has_a_report(tmp_path):
    write_run(tmp_path, steps=1)
    (tmp_path / "evaluation.json").unlink()
    text = report_page.write_report(tmp_path).read_text()
    assert "for 1 of 8 steps" in text
    assert "Pearson undefined, Spearman undefined, n = 1" in text
    assert "reward/all_right" in text  # named among the metrics that are not there


@pytest.mark.parametrize("seed", range(3))
def test_no_nonsense_breaks_the_report(tmp_path, seed):
    rng = make_rng(seed)
    junk = [
        None,
        math.nan,
        math.inf,
        "text",
        [1],
        {},
        {"value": "x"},
        True,
        -1e250,
        10**400,
        0,
        "$x^2",
    ]

    def pick_junk():
        return junk[rng.integers(len(junk))]

    lines = [
        json.dumps({name: pick_junk() for name in make_row(0)} | {"step": step})
        for step in (0, "x", 2, None)
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, "[]", '{"step": 7, "ent']))
    (tmp_path / "samples.jsonl").write_text(
        "\n".join(json.dumps({"step": 0, "prompt": pick_junk()}) for _ in range(3))
    )
    odd = {
        "step": pick_junk(),
        "avg_at_k": pick_junk(),
        "pass_at_k": pick_junk(),
        "errors": pick_junk(),
        "by_source": {"a": pick_junk(), "b": make_entry(0, 0.1)},
    }
    last = {
        "errors": 3,
        "by_source": {"a": {"problems": pick_junk(), "avg_at_k": 0.5}},
        **make_entry(3, 0.1),
    }
    entries = [pick_junk(), make_entry(0, 0.5), odd, last]
    document = {
        "panel": pick_junk(),
        "samples": pick_junk(),
        "sampling": pick_junk(),
        "graders": {"versions": pick_junk()},
        "entries": entries,
    }
    runfiles.write_json(tmp_path / "evaluation.json", document)
    (tmp_path / "config.json").write_text(
        json.dumps({"model": pick_junk(), "method": {"name": pick_junk()}})
    )
    (tmp_path / "provenance.json").write_text("{")
    text = report_page.write_report(tmp_path).read_text()
    check_page(text)
    assert "metrics.jsonl: 2 damaged line(s)" in text
    assert "provenance.json is not valid JSON." in text


def test_cautions_name_metric_place_and_extent(tmp_path):
    rows = [
        {"step": step, "length/truncated": 0.1 * step, "grad_norm": 1.0, "entropy": 1.0}
        for step in range(5)
    ]
    rows[3]["grad_norm"] = None
    rows[4] |= {
        "update/skipped": 1,
        "entropy": 0.1,
        "logprob_gap/max": 5e-4,
        "entropy_change/realized/a": None,
    }
    found = {
        caution.what: caution for caution in cautions.find_cautions(run_data.RunData(rows=rows))
    }
    assert set(found) == {
        "Update skipped",
        "Many completions truncated",
        "Entropy collapsed",
        "Values not finite",
    }
    assert found["Many completions truncated"].where == "2 of 5, steps 3 to 4"
    assert found["Many completions truncated"].worst == "length/truncated 0.4"
    assert found["Values not finite"].worst == "grad_norm"
    assert found["Entropy collapsed"].worst == "1 to 0.1 nats"


def test_correlations_by_hand():
    # ranks of y with its tie: 0.5, 0.5, 2, 3 against 0, 1, 2, 3: covariance 4.5, variances 5 and
    # 4.5
    pearson, spearman = series.pearson_and_spearman(
        np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0, 9.0])
    )
    np.testing.assert_allclose(spearman, 4.5 / math.sqrt(5 * 4.5))
    # deviations (-1.5, -0.5, 0.5, 1.5) and (-2.25, -2.25, -1.25, 5.75): 12.5 / sqrt(5 * 44.75)
    np.testing.assert_allclose(pearson, 12.5 / math.sqrt(5 * 44.75))
    assert all(
        math.isnan(value) for value in series.pearson_and_spearman(np.ones(4), np.arange(4.0))
    )


def test_a_series_leaves_out_what_is_not_a_finite_number():
    rows = [
        {"step": 0, "x": 1},
        {"step": 1, "x": None},
        {"step": 2},
        {"x": 3.0},
        {"step": 4, "x": 2.5},
    ]
    steps, values = series.metric_series(rows, "x")
    assert steps.tolist() == [0, 4]
    assert values.tolist() == [1, 2.5]


def test_markup_passes_and_text_does_not():
    cell = markup.build_element("td", markup.build_element("b", 1), "<b>")
    assert cell == "<td><b>1</b>&lt;b&gt;</td>"
    tree = markup.build_tree({"<k>": [1, "<v>"]})
    assert tree == "<dl><div><dt>&lt;k&gt;</dt><dd><code>1, &lt;v&gt;</code></dd></div></dl>"
