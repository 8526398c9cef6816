"""DAPO-Math-17k: competition problems whose answers were rewritten as integers.

Source: Yu et al. 2025, arXiv 2503.14476; Apache 2.0. BytedTsinghua-SIA/DAPO-Math-17k (parquet,
every problem about a hundred times): prompt, a list of one message with an instruction before and
after the problem, and reward_model.ground_truth. open-r1/DAPO-Math-17k-Processed (parquet, without
repetitions): prompt, the bare problem, and solution. The instruction is cut off and replaced by the
template of this task.
"""

from collections.abc import Mapping

from papo_jax.grading.wording.numerals import canonical_integer
from papo_jax.tasks import templates
from papo_jax.tasks.dataset import Dataset, Example
from papo_jax.tasks.reading.files import read_text, read_text_or_number


def parse_row(fields: Mapping) -> Example:
    """Parses a row of either form.

    >>> content = templates.fill_template(templates.DAPO, "1+1?")
    >>> message = {"role": "user", "content": content}
    >>> parse_row({"prompt": [message], "reward_model": {"ground_truth": "2"}})
    Example(question='1+1?', answer='2', grader='integer')

    Raises:
      ValueError: if a field is missing or the answer is no integer.
    """
    # The question, out of the one message if there is one.
    prompt = fields.get("prompt")
    if isinstance(prompt, list):
        if len(prompt) != 1 or not isinstance(prompt[0], Mapping):
            raise ValueError("the field 'prompt' should be a text or a list of one message")
        prompt = read_text(prompt[0], "content")
    prompt = read_text({"prompt": prompt}, "prompt").strip()
    question = templates.remove_template(templates.DAPO, prompt).strip()

    # The reference answer, an integer in both forms.
    reward = fields.get("reward_model")
    if isinstance(reward, Mapping):
        reference = read_text_or_number(reward, "ground_truth")
    else:
        reference = read_text_or_number(fields, "solution", "answer")
    answer = canonical_integer(reference)
    if answer is None:
        raise ValueError(f"the answer should be an integer, not {reference[:40]!r}")
    return Example(question, answer, "integer")


DATASET = Dataset("dapo_math_17k", templates.BOXED, parse_row)
