r"""AIME 2024, AIME 2025 and AMC 2023: contests with integer answers.

The problems are the Mathematical Association of America's; the collections below are
republications, each with the license that its page says. The fields that are read: problem, Problem
or question; answer or Answer, a text or a number such as 27.0, else the last box of solution; and
url or year, by which rows of other years are left out (AI-MO/aimo-validation-aime has 2022 to 2024,
AI-MO/aimo-validation-amc the AMC 12 of 2022 and 2023).

AIME 2024: Maxwell-Jia/AIME_2024 (ID, Problem, Solution, Answer), HuggingFaceH4/aime_2024,
  math-ai/aime24.
AIME 2025: opencompass/AIME2025 (question, answer; two files), math-ai/aime25, MathArena/aime_2025.
AMC 2023: math-ai/amc23 (question, answer; 40 rows), AI-MO/aimo-validation-amc (problem, answer as a
  float).
"""

import functools
import re
from collections.abc import Mapping

from papo_jax.grading.wording.numerals import canonical_integer
from papo_jax.tasks import templates
from papo_jax.tasks.dataset import Dataset, Example, SkippedRow
from papo_jax.tasks.reading.files import read_text, read_text_or_number
from papo_jax.tasks.sources.boxed_latex import last_boxed_answer, strip_dollar_signs

_DEGREES = re.compile(r"\^\{?\\circ\}?$")
_YEAR = re.compile(r"(?<![0-9])20[0-9]{2}(?![0-9])")


def parse_row(fields: Mapping, *, year: str) -> Example | SkippedRow:
    """Parses a row.

    Args:
      fields: of the row.
      year: rows that say another one are left out.

    >>> parse_row({"ID": "2024-I-1", "Problem": "Walk?", "Answer": 204}, year="2024").answer
    '204'

    Raises:
      ValueError: if a field is missing or the answer is no integer.
    """
    years = _YEAR.findall(f"{fields.get('year') or ''} {fields.get('url') or ''}")
    if years and year not in years:
        return SkippedRow("they are of another year")
    question = read_text(fields, "problem", "Problem", "question").strip()
    if fields.get("answer", fields.get("Answer")) is None and "solution" in fields:
        reference = last_boxed_answer(read_text(fields, "solution"))
    else:
        reference = read_text_or_number(fields, "answer", "Answer")
    answer = canonical_integer(_DEGREES.sub("", strip_dollar_signs(reference)))
    if answer is None:
        raise ValueError(f"the answer should be an integer, not {reference[:40]!r}")
    return Example(question, answer, "integer")


def _make_dataset(name: str, year: str) -> Dataset:
    return Dataset(
        name, templates.BOXED, functools.partial(parse_row, year=year), evaluation_only=True
    )


AIME_2024 = _make_dataset("aime_2024", "2024")
AIME_2025 = _make_dataset("aime_2025", "2025")
AMC_2023 = _make_dataset("amc_2023", "2023")
