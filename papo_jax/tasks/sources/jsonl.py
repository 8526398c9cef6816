"""Problems of the user's own: {"prompt": ..., "answer": ...}, a line each, and no code to write.

The prompt is used unchanged. The answer is a text or a number, or a list of several, of which any
is right. Where all answers are integers the grader is "integer", else "math"; `grader=` of
`tasks.load` names another.
"""

from collections.abc import Mapping

from papo_jax.grading.wording.numerals import canonical_integer
from papo_jax.tasks import overlap, templates
from papo_jax.tasks.dataset import Dataset, Example
from papo_jax.tasks.reading.files import read_text, read_texts_or_numbers


def parse_row(fields: Mapping) -> Example:
    """Parses a row.

    >>> parse_row({"prompt": "1+1=", "answer": 2})
    Example(question='1+1=', answer='2', grader='integer')

    Raises:
      ValueError: if a field is missing.
    """
    answers = read_texts_or_numbers(fields, "answer")
    are_integers = all(canonical_integer(text) is not None for text in answers)
    grader = "integer" if are_integers else "math"
    answer = answers[0] if len(answers) == 1 else answers
    return Example(read_text(fields, "prompt"), answer, grader)


def unify_graders(examples: list[Example]) -> list[Example]:
    """Gives all examples one grader: "math" as soon as one answer is no integer."""
    grader = "integer" if all(example.grader == "integer" for example in examples) else "math"
    return [example._replace(grader=grader) for example in examples]


DATASET = Dataset(
    name=overlap.USER_SOURCE,
    template=templates.PLACEHOLDER,
    parse_row=parse_row,
    published=False,
    postprocess=unify_graders,
)
