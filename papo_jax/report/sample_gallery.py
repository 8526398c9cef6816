"""Sample gallery of a report: completions of the first recorded step beside those of the last."""

from papo_jax.json_files import finite_number
from papo_jax.report.formatting import format_number
from papo_jax.report.markup import Html, build_element

_SHOWN = 3  # right and wrong samples each, of either step


def build_gallery(samples: list[dict]) -> Html:
    """Sets samples of the first recorded step beside samples of the last.

    Args:
      samples: rows of `samples.jsonl`; those without a step are left out.
    """
    title = build_element("h2", "Samples")
    stepped = [(finite_number(sample.get("step")), sample) for sample in samples]
    steps = sorted({step for step, _ in stepped if step is not None})
    if not steps:
        note = build_element("p", "No samples have been recorded.", kind="note")
        return build_element("section", title, note)

    columns = []
    for step in dict.fromkeys((steps[0], steps[-1])):
        chosen = _choose_samples([sample for own, sample in stepped if own == step])
        heading = build_element("h3", f"Step {step:g}")
        columns.append(build_element("div", heading, *map(_build_card, chosen)))
    return build_element("section", title, build_element("div", *columns, kind="gallery"))


def _choose_samples(samples: list[dict]) -> list[dict]:
    right = [sample for sample in samples if _is_right(sample)]
    wrong = [sample for sample in samples if not _is_right(sample)]
    return right[:_SHOWN] + wrong[:_SHOWN]


def _is_right(sample: dict) -> bool:
    return (finite_number(sample.get("reward")) or 0.0) > 0.0


def _build_card(sample: dict) -> Html:
    named = [name for name in ("problem", "answer", "reward", "advantage") if name in sample]
    facts = [f"{name} {format_number(sample[name])}" for name in named if sample[name] is not None]
    facts += ["truncated"] if sample.get("truncated") else []
    verdict = "right" if _is_right(sample) else "wrong"
    heading = build_element("b", verdict.capitalize())
    return build_element(
        "div",
        build_element("div", heading, "; ".join(["", *facts]), kind="note"),
        build_element("pre", sample.get("prompt", "(no prompt)"), kind="prompt"),
        build_element("pre", sample.get("completion", "(no completion)")),
        kind=f"card {verdict}",
    )
