"""Schema of `evaluation.json`, which an evaluation writes and reports and comparisons read.

M problems, K samples each. The document, with figures as in `papo_jax.evaluation.figures`:

    {"panel": {"task", "problems": M, "fingerprint", "identifiers": [M],
               "sources": {source: count}},
     "sampling": {"samples": K, "temperature", "max_new_tokens", "seed"},
     "samples": K,
     "temperature",
     "graders": {"names", "versions": {name: version}, "deadline", "memory"},
     "entries": [{"step", "model", FIGURES, "right": [M], "majority": [M], "errors", "timeouts",
                  "by_source": {source: {"problems", FIGURES}}, "truncated", "seconds"}, ...],
     "last": {"step", "avg_at_k"},
     "best": {"step", "avg_at_k"},
     "paired_difference": {FIGURES}}

"by_source" is there if there are several sources, "last" and "best" if there is an entry, and
"paired_difference" if the first of several entries is from before training. The parser is
`papo_jax.evaluation.parsing.parse_evaluation`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from papo_jax.evaluation.figures import Figures, figures_to_json


@dataclasses.dataclass(frozen=True)
class EvalSet:
    """The evaluation set: the fixed problems of all entries.

    Attributes:
      task: its name.
      problems: M; 0 where a document has no number.
      fingerprint: SHA-256 of the problems, in order.
      identifiers: [M].
      sources: problems by source.
    """

    task: str
    problems: int
    fingerprint: str
    identifiers: tuple[int, ...] = ()
    sources: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Sampling settings of an evaluation.

    Attributes:
      samples: K of each problem; 0 where a document has no number.
      temperature: of the sampler.
      max_new_tokens: the longest completion.
      seed: of the sampler.
    """

    samples: int
    temperature: float | None
    max_new_tokens: int | None
    seed: int | None


@dataclasses.dataclass(frozen=True)
class Graders:
    """Graders of an evaluation.

    Attributes:
      names: of the graders that the problems name.
      versions: of graders and of the libraries that they call.
      deadline: of a completion, seconds.
      memory: of a grading process, MiB.
    """

    names: tuple[str, ...] = ()
    versions: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    deadline: float | None = None
    memory: int | None = None


@dataclasses.dataclass(frozen=True)
class SourceScores:
    """The figures of one source of a mixture, and the number of its problems."""

    problems: int
    figures: Figures


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of one policy on the evaluation set.

    Attributes:
      figures: means over problems with their intervals.
      right: [M], right samples of K; empty where a document has none.
      majority: [M], each problem's maj@k; None where a document has none.
      errors: completions without a verdict, which count as not right.
      timeouts: those of them that a deadline made.
      by_source: the figures of each source; empty where there is one source.
    """

    figures: Figures
    right: tuple[int, ...]
    majority: tuple[float, ...] | None
    errors: int = 0
    timeouts: int = 0
    by_source: Mapping[str, SourceScores] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the scores as an entry holds them."""
        document = {**figures_to_json(self.figures), "right": list(self.right)}
        if self.majority is not None:
            document["majority"] = list(self.majority)
        document |= {"errors": self.errors, "timeouts": self.timeouts}
        if self.by_source:
            document["by_source"] = {
                source: {"problems": part.problems, **figures_to_json(part.figures)}
                for source, part in self.by_source.items()
            }
        return document


@dataclasses.dataclass(frozen=True)
class Entry:
    """One evaluation.

    Attributes:
      step: finished training steps of the policy.
      model: the fingerprint of its parameters.
      scores: on the evaluation set.
      truncated: the share of completions that were cut at `max_new_tokens`.
      seconds: that sampling and judging took.
    """

    step: int
    model: str | None
    scores: Scores
    truncated: float | None = None
    seconds: float | None = None

    def format_headline(self) -> str:
        """Returns avg@k and, if there are any, the number of answers that could not be judged."""
        name, figure = next(iter(self.scores.figures.items()))
        errors = self.scores.errors
        unjudged = f", {errors} answers could not be judged" if errors else ""
        return f"{name} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]{unjudged}"

    def to_json(self) -> dict[str, Any]:
        """Returns the entry as the document holds it."""
        document = {"step": self.step, "model": self.model, **self.scores.to_json()}
        document |= {"truncated": self.truncated, "seconds": self.seconds}
        return {key: value for key, value in document.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The whole document.

    Attributes:
      eval_set: what is asked.
      sampling: how it is answered.
      graders: what judges the answers.
      entries: the evaluations, in the order of the document, which is that of their steps.
      paired_difference: last minus first entry, by figure; empty where a document has none.
      complaints: a line for each thing that the document lacks or has in a wrong form; a reader
        that must not guess refuses the document with the first.
    """

    eval_set: EvalSet
    sampling: Sampling
    graders: Graders
    entries: tuple[Entry, ...] = ()
    paired_difference: Figures = dataclasses.field(default_factory=dict)
    complaints: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the document."""
        sampling = dataclasses.asdict(self.sampling)
        document = {
            "panel": {
                **dataclasses.asdict(self.eval_set),
                "identifiers": list(self.eval_set.identifiers),
            },
            "sampling": sampling,
            "samples": sampling["samples"],
            "temperature": sampling["temperature"],
            "graders": {**dataclasses.asdict(self.graders), "names": list(self.graders.names)},
            "entries": [entry.to_json() for entry in self.entries],
        }
        if self.entries:
            last, best = select_last_and_best(self.entries)
            document |= {"last": _summarize_entry(last), "best": _summarize_entry(best)}
        if self.paired_difference:
            document["paired_difference"] = figures_to_json(self.paired_difference)
        return document


def select_last_and_best(entries: Sequence[Entry]) -> tuple[Entry, Entry]:
    """Returns the last entry and the one with the highest avg@k, the earliest of equal ones.

    The best is chosen on the evaluation set that measures it, so it flatters.

    Args:
      entries: in the order of their steps; the first figure of each is avg@k.
    """
    return entries[-1], max(entries, key=lambda entry: headline_value(entry.scores))


def headline_value(scores: Scores) -> float:
    """Returns the value of the first figure, avg@k."""
    return next(iter(scores.figures.values())).value


def _summarize_entry(entry: Entry) -> dict[str, Any]:
    return {"step": entry.step, "avg_at_k": figures_to_json(entry.scores.figures)["avg_at_k"]}
