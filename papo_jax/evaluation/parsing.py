"""Parser of `evaluation.json`: reads what there is, and lists what is missing or malformed.

A report shows what it can of a damaged document; a comparison refuses it with the first complaint.
"""

from collections.abc import Callable
from typing import Any

from papo_jax.evaluation.figures import Figures, parse_figures, parse_interval
from papo_jax.evaluation.schema import (
    Entry,
    EvalSet,
    Evaluation,
    Graders,
    Sampling,
    Scores,
    SourceScores,
)
from papo_jax.json_files import finite_number, look_up, whole_number
from papo_jax.printable import printable_text


def parse_evaluation(document: dict[str, Any]) -> Evaluation:
    """Reads a document.

    Args:
      document: what `evaluation.json` holds; empty where there is no file.

    Returns:
      The `Evaluation`. What is missing or of a wrong form is empty, zero or None in it, and has a
      line in its `complaints`.
    """
    complaints: list[str] = []
    eval_set = _parse_eval_set(document.get("panel"), complaints)
    sampling = _parse_sampling(document, complaints)
    entries = _parse_entries(document.get("entries"), eval_set, sampling, complaints)
    return Evaluation(
        eval_set=eval_set,
        sampling=sampling,
        graders=_parse_graders(document),
        entries=entries,
        paired_difference=_parse_paired_difference(document, sampling.samples),
        complaints=tuple(complaints),
    )


def _parse_eval_set(panel: Any, complaints: list[str]) -> EvalSet:
    task, fingerprint, problems = (
        look_up(panel, name) for name in ("task", "fingerprint", "problems")
    )
    identifiers, sources = (look_up(panel, name) for name in ("identifiers", "sources"))
    if not (isinstance(task, str) and isinstance(fingerprint, str)):
        complaints.append("panel has no task and fingerprint")
    size = whole_number(problems, least=1)
    if size is None:
        complaints.append(f"panel.problems is {_shorten(problems)}, not a whole number above 0")
    return EvalSet(
        task=task if isinstance(task, str) else "",
        problems=size or 0,
        fingerprint=fingerprint if isinstance(fingerprint, str) else "",
        identifiers=tuple(identifiers) if isinstance(identifiers, list) else (),
        sources=sources if isinstance(sources, dict) else {},
    )


def _parse_sampling(document: dict[str, Any], complaints: list[str]) -> Sampling:
    samples, temperature = document.get("samples"), document.get("temperature")
    if whole_number(samples, least=1) is None:
        complaints.append(f"samples is {_shorten(samples)}, not a whole number above 0")
    if finite_number(temperature) is None:
        complaints.append(f"temperature is {_shorten(temperature)}, not a number")
    return Sampling(
        samples=whole_number(samples, least=1) or 0,
        temperature=finite_number(temperature),
        max_new_tokens=whole_number(look_up(document, "sampling", "max_new_tokens")),
        seed=whole_number(look_up(document, "sampling", "seed")),
    )


def _parse_graders(document: dict[str, Any]) -> Graders:
    graders, old = document.get("graders"), document.get("grader")
    names, versions = look_up(graders, "names"), look_up(graders, "versions")
    if isinstance(versions, dict) and versions:
        return Graders(
            names=tuple(names) if isinstance(names, list) else (),
            versions=versions,
            deadline=finite_number(look_up(graders, "deadline")),
            memory=whole_number(look_up(graders, "memory")),
        )
    return Graders(versions={old: "of unknown version"} if isinstance(old, str) else {})


def _parse_entries(
    values: Any, eval_set: EvalSet, sampling: Sampling, complaints: list[str]
) -> tuple[Entry, ...]:
    """Reads the evaluations that have a step, in the order of the document."""
    if not isinstance(values, list):
        complaints.append("it holds no list of entries")
        return ()

    # Each entry needs a step of its own.
    entries = []
    for index, value in enumerate(values):
        step = whole_number(look_up(value, "step"))
        if step is None:
            wrong = _shorten(look_up(value, "step"))
            complaints.append(f"step of entry {index} is {wrong}, not a whole number")
            continue
        if step in [entry.step for entry in entries]:
            complaints.append("two of its evaluations have one step")

        model = look_up(value, "model")
        entries.append(
            Entry(
                step=step,
                model=model if isinstance(model, str) else None,
                scores=_parse_scores(value, f"entry {index}", eval_set, sampling, complaints),
                truncated=finite_number(look_up(value, "truncated")),
                seconds=finite_number(look_up(value, "seconds")),
            )
        )
    return tuple(entries)


def _parse_scores(
    value: Any, name: str, eval_set: EvalSet, sampling: Sampling, complaints: list[str]
) -> Scores:
    problems, samples = eval_set.problems, sampling.samples

    # Counts and votes, one of each problem; a document may have no votes.
    def is_count(count: Any) -> bool:
        return whole_number(count, most=samples) is not None

    right, majority = look_up(value, "right"), look_up(value, "majority")
    if not _is_list_of(right, problems, is_count):
        complaints.append(
            f"`right` of {name} is no list of {problems} counts from 0 to {samples};"
            " evaluate that run again"
        )
        right = []
    if majority is not None and not _is_list_of(majority, problems, _is_share):
        complaints.append(f"`majority` of {name} is no list of {problems} shares from 0 to 1")
        majority = None

    errors, timeouts = (finite_number(look_up(value, key)) for key in ("errors", "timeouts"))
    return Scores(
        figures=parse_figures(value, samples),
        right=tuple(right or ()),
        majority=None if majority is None else tuple(majority),
        errors=int(errors or 0),
        timeouts=int(timeouts or 0),
        by_source=_parse_sources(look_up(value, "by_source"), samples),
    )


def _parse_sources(value: Any, samples: int) -> dict[str, SourceScores]:
    """Reads the sources that have a number of problems and figures."""
    sources = {}
    for source, part in value.items() if isinstance(value, dict) else ():
        problems = finite_number(look_up(part, "problems"))
        figures = parse_figures(part, samples)
        if problems and figures:
            sources[source] = SourceScores(problems=int(problems), figures=figures)
    return sources


def _parse_paired_difference(document: dict[str, Any], samples: int) -> Figures:
    """Reads the difference from the document or its last entry: figures, or avg@k alone."""
    entries = document.get("entries")
    last = entries[-1] if isinstance(entries, list) and entries else None
    value = document.get("paired_difference") or look_up(last, "paired_difference")
    alone = parse_interval(value)
    return parse_figures({"avg_at_k": value} if alone else value, samples)


def _is_list_of(value: Any, size: int, is_valid: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == size and all(map(is_valid, value))


def _is_share(value: Any) -> bool:
    share = finite_number(value)
    return share is not None and 0 <= share <= 1


def _shorten(value: Any) -> str:
    return printable_text(repr(value))
