"""GSM8K: grade-school word problems with integer answers.

Source: Cobbe et al. 2021, arXiv 2110.14168; MIT license; openai/grade-school-math (JSONL),
openai/gsm8k (parquet). A row is {"question": ..., "answer": "reasoning #### 72"}.
"""

from collections.abc import Mapping

from papo_jax.grading.wording.numerals import canonical_integer
from papo_jax.tasks import templates
from papo_jax.tasks.dataset import Dataset, Example
from papo_jax.tasks.reading.files import read_text


def parse_row(fields: Mapping) -> Example:
    """Parses a row; the reference answer follows the last "####".

    >>> parse_row({"question": "48 + 24?", "answer": "48+24 = 72\\n#### 72"}).answer
    '72'

    Raises:
      ValueError: if a field is missing or what follows is no integer.
    """
    question, solution = read_text(fields, "question"), read_text(fields, "answer")
    _, mark, reference = solution.rpartition("####")
    if not mark:
        raise ValueError("the answer has no '####' before its final integer")
    answer = canonical_integer(reference)
    if answer is None:
        raise ValueError(
            f"what follows '####' should be an integer, not {reference.strip()[:40]!r}"
        )
    return Example(question.strip(), answer, "integer")


DATASET = Dataset("gsm8k", templates.MARKED, parse_row)
