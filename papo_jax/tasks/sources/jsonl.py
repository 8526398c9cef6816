"""Problems of the user's own: {"prompt": ..., "answer": ...}, a line each, and no code to write.

The prompt is used as it stands. The answer is a text or a number. Where all answers are integers
the grader is "integer", else "math"; `grader=` of `tasks.load` names another.
"""

from collections.abc import Mapping

from papo_jax.grading.integer_grader import canonical_integer
from papo_jax.tasks import overlap, templates
from papo_jax.tasks.family import Example, Family
from papo_jax.tasks.files import scalar, text


def parse(fields: Mapping) -> Example:
    """Reads a row.

    >>> parse({"prompt": "1+1=", "answer": 2})
    Example(question='1+1=', answer='2', grader='integer')

    Raises:
      ValueError: if a field is missing.
    """
    answer = scalar(fields, "answer")
    return Example(
        text(fields, "prompt"),
        answer,
        "integer" if canonical_integer(answer) is not None else "math",
    )


def settle(examples: list[Example]) -> list[Example]:
    """Gives all examples one grader: "math" as soon as one answer is no integer."""
    grader = "integer" if all(example.grader == "integer" for example in examples) else "math"
    return [example._replace(grader=grader) for example in examples]


FAMILY = Family(overlap.OWN, templates.PLACE, parse, published=False, settle=settle)
