r"""Training and evaluation problems with the same question, whatever stands around it.

Two questions count as one if the same words, numbers and signs follow each other: letters fold to
their NFKC form and to lower case; white space, dollar signs, backslashes, quotes and the
punctuation of sentences do not matter; operators and brackets do. Instructions that are known
(`templates.KNOWN`, and the templates in use) are taken off first. What else a file of the user's
own puts around a question is not known, so there the question is also looked for inside.

>>> normal("Compute $\\sin 60$,  please!") == normal("compute \\( \\sin60 \\) please")
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

OWN = "jsonl"  # the source whose prompts may carry an instruction that we do not know
_TOKEN = re.compile(r"[0-9]+(?:\.[0-9]+)*|[^\W\d_]+|[^\s$\\.,;:!?'\"`‘’“”]")
_DELIMITERS = re.compile(r"\\[()\[\]]")
_WINDOW = 8  # tokens that a question must have to be looked for inside a text
_MARKS = (
    "Q: {question}\nA:",
    "Question: {question}\nAnswer:",
    "Problem: {question}\nSolution:",
)  # on a line, besides
_SHOWN = 80  # characters of a question in the message


def normal(text: str) -> str:
    """Returns the form in which two texts of the same question are equal: its tokens, one space
    between them.

    >>> normal("A sum:  (3 + 4.5)*x = ?")
    'a sum ( 3 + 4.5 ) * x ='
    """
    return " ".join(
        _TOKEN.findall(unicodedata.normalize("NFKC", _DELIMITERS.sub(" ", text)).lower())
    )


def comparer(used: Sequence[str] = ()) -> Callable[[str], str]:
    """Makes the function by which prompts are compared.

    Args:
      used: templates that may stand around questions, besides those of the families.

    Returns:
      A function from a prompt to the normal form of its question: instructions are taken off both
      ends, as often as there are any.

    >>> comparer()(
    ...     "1+1?\\nPlease reason step by step, and put your final answer within \\\\boxed{}."
    ... )
    '1 + 1'
    """
    pairs = [templates.affixes(template) for template in (*templates.KNOWN, *used)]
    before = [normal(text) + " " for text, _ in pairs if normal(text)]
    after = [" " + normal(text) for _, text in pairs if normal(text)]

    def question(prompt: str) -> str:
        text, longer = normal(prompt), None
        while text != longer:
            longer = text
            for start, end in itertools.zip_longest(before, after, fillvalue=""):
                text = text.removeprefix(start).removesuffix(end)
        return text or prompt  # nothing but punctuation is only equal to itself

    return question


def check(
    train: Iterable[Problem], held_out: Iterable[Problem], *, used: Sequence[str] = ()
) -> None:
    """Refuses problems to train on that are evaluated on too.

    Args:
      train: the problems to train on.
      held_out: the problems to evaluate on.
      used: as in `comparer`.

    Raises:
      InputError: says how many there are, which is the first, and what to do.

    >>> check([Problem(0, "1+2=", "3")], [Problem(0, "1+20=", "21")])
    """
    question_of = comparer(used)
    known: dict[str, Problem] = {}
    for problem in held_out:
        known.setdefault(question_of(problem.prompt), problem)
    inside = _Inside(known, comparer((*used, *_MARKS)))
    count, first = 0, None
    for problem in train if known else ():
        question = question_of(problem.prompt)
        same = known.get(question)
        if same is None and problem.source == OWN:
            same = inside.find(problem.prompt, question)
        if same is not None:
            count, first = count + 1, first or (problem, same)
    if first:
        problem, same = first
        raise InputError(
            f"questions to train on that are also evaluated on: {count}; the first is {_short(same.prompt)} "
            f"(train {problem.source or 'problem'} {problem.identifier}, held out {same.source or 'problem'} "
            f"{same.identifier}); take them out of the file to train on, or evaluate on another task"
        )


class _Inside:
    """Finds questions of other tasks inside longer texts: long ones anywhere, short ones on a line
    of their own."""

    def __init__(self, known: dict[str, Problem], question_of: Callable[[str], str]):
        self._question_of = question_of
        self._short: dict[str, Problem] = {}
        self._long: dict[tuple[str, ...], list[tuple[str, Problem]]] = defaultdict(list)
        for question, problem in known.items():
            tokens = question.split()
            if problem.source == OWN:
                continue  # its own instruction is part of it, so one such text inside another may be a new question
            if len(tokens) < _WINDOW:
                self._short[question] = problem
            else:
                self._long[tuple(tokens[:_WINDOW])].append((question, problem))

    def find(self, prompt: str, text: str) -> Problem | None:
        """Returns a problem whose question stands in a prompt, whose normal form is `text`; else
        None."""
        for line in prompt.splitlines():
            if (same := self._short.get(self._question_of(line))) is not None:
                return same
        tokens = text.split()
        for start in range(len(tokens) - _WINDOW + 1):
            for question, problem in self._long.get(tuple(tokens[start : start + _WINDOW]), ()):
                if " ".join((*tokens[start:], "")).startswith(question + " "):
                    return problem
        return None


def _short(prompt: str) -> str:
    text = " ".join(prompt.split())
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
