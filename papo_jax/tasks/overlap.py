r"""Overlap check: refuses training problems whose question is also evaluated on.

Two questions count as one if the same words, numbers and signs follow each other: letters fold to
their NFKC form and to lower case; white space, dollar signs, backslashes, quotes and the
punctuation of sentences do not matter; operators and brackets do. Instructions that are known
(`templates.KNOWN`, and the templates in use) are taken off first. What else a file of the user's
own puts around a question is not known, so there the question is also searched for inside.

>>> question = normalize_text("Compute $\\sin 60$,  please!")
>>> question == normalize_text("compute \\( \\sin60 \\) please")
True
"""

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from papo_jax.errors import InputError
from papo_jax.tasks import templates
from papo_jax.tasks.problem import Problem

USER_SOURCE = "jsonl"  # the source whose prompts may carry an instruction that we do not know
_TOKEN = re.compile(r"[0-9]+(?:\.[0-9]+)*|[^\W\d_]+|[^\s$\\.,;:!?'\"`‘’“”]")
_DELIMITERS = re.compile(r"\\[()\[\]]")
_WINDOW = 8  # tokens that a question must have to be searched for anywhere in a text
_LINE_TEMPLATES = (  # also taken off a line that may be a question
    "Q: {question}\nA:",
    "Question: {question}\nAnswer:",
    "Problem: {question}\nSolution:",
)
_SHOWN = 80  # characters of a question in the message


def normalize_text(text: str) -> str:
    """Returns a text's tokens, one space between them; equal for two texts of the same question.

    >>> normalize_text("A sum:  (3 + 4.5)*x = ?")
    'a sum ( 3 + 4.5 ) * x ='
    """
    folded = unicodedata.normalize("NFKC", _DELIMITERS.sub(" ", text)).lower()
    return " ".join(_TOKEN.findall(folded))


def make_question_normalizer(used: Sequence[str] = ()) -> Callable[[str], str]:
    r"""Makes the function by which prompts are compared.

    Args:
      used: templates that may stand around questions, besides those of the datasets.

    Returns:
      A function from a prompt to the normal form of its question: instructions are taken off both
      ends, as often as there are any.

    >>> normalize_question = make_question_normalizer()
    >>> normalize_question(templates.fill_template(templates.BOXED, "1+1?"))
    '1 + 1'
    """
    pairs = [templates.split_template(template) for template in (*templates.KNOWN, *used)]
    prefixes = [normalize_text(text) + " " for text, _ in pairs if normalize_text(text)]
    suffixes = [" " + normalize_text(text) for _, text in pairs if normalize_text(text)]

    def normalize_question(prompt: str) -> str:
        text, longer = normalize_text(prompt), None
        while text != longer:
            longer = text
            for prefix, suffix in itertools.zip_longest(prefixes, suffixes, fillvalue=""):
                text = text.removeprefix(prefix).removesuffix(suffix)
        return text or prompt  # nothing but punctuation is only equal to itself

    return normalize_question


def check_overlap(
    train: Iterable[Problem], held_out: Iterable[Problem], *, used: Sequence[str] = ()
) -> None:
    """Refuses problems to train on that are evaluated on too.

    Args:
      train: the problems to train on.
      held_out: the problems to evaluate on.
      used: as in `make_question_normalizer`.

    Raises:
      InputError: says how many there are, which is the first, and what to do.

    >>> check_overlap([Problem(0, "1+2=", "3")], [Problem(0, "1+20=", "21")])
    """
    # Index the evaluated problems by their questions.
    normalize_question = make_question_normalizer(used)
    evaluated: dict[str, Problem] = {}
    for problem in held_out:
        evaluated.setdefault(normalize_question(problem.prompt), problem)
    embedded = _EmbeddedQuestions(evaluated, make_question_normalizer((*used, *_LINE_TEMPLATES)))

    # Look every problem to train on up in that index.
    count, first = 0, None
    for problem in train if evaluated else ():
        question = normalize_question(problem.prompt)
        same = evaluated.get(question)
        if same is None and problem.source == USER_SOURCE:
            same = embedded.find_in(problem.prompt, question)
        if same is not None:
            count, first = count + 1, first or (problem, same)

    if first:
        problem, same = first
        raise InputError(
            f"questions to train on that are also evaluated on: {count}; "
            f"the first is {_shorten_prompt(same.prompt)} "
            f"(train {problem.source or 'problem'} {problem.identifier}, "
            f"held out {same.source or 'problem'} {same.identifier}); "
            "take them out of the file to train on, or evaluate on another task"
        )


class _EmbeddedQuestions:
    """An index of other tasks' questions: long ones are found anywhere, short ones on a line."""

    def __init__(self, evaluated: dict[str, Problem], normalize_line: Callable[[str], str]):
        self._normalize_line = normalize_line
        self._short: dict[str, Problem] = {}
        self._long: dict[tuple[str, ...], list[tuple[str, Problem]]] = defaultdict(list)
        for question, problem in evaluated.items():
            # A user's own instruction is part of the question, so that one such text inside another
            # may be a new question.
            if problem.source == USER_SOURCE:
                continue
            tokens = question.split()
            if len(tokens) < _WINDOW:
                self._short[question] = problem
            else:
                self._long[tuple(tokens[:_WINDOW])].append((question, problem))

    def find_in(self, prompt: str, text: str) -> Problem | None:
        """Returns a problem whose question is in a prompt with the normal form `text`; or None."""
        for line in prompt.splitlines():
            if (same := self._short.get(self._normalize_line(line))) is not None:
                return same
        tokens = text.split()
        for start in range(len(tokens) - _WINDOW + 1):
            for question, problem in self._long.get(tuple(tokens[start : start + _WINDOW]), ()):
                if " ".join((*tokens[start:], "")).startswith(question + " "):
                    return problem
        return None


def _shorten_prompt(prompt: str) -> str:
    text = " ".join(prompt.split())
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
