"""DAPO-Math-17k, competition problems whose answers were rewritten as integers.

Source: Yu et al. 2025, arXiv 2503.14476; Apache 2.0. BytedTsinghua-SIA/DAPO-Math-17k (parquet,
every problem about a hundred times): prompt, a list of one message with an instruction before and
after the problem, and reward_model.ground_truth. open-r1/DAPO-Math-17k-Processed (parquet, without
repetitions): prompt, the bare problem, and solution. The instruction is cut off and replaced by the
template of this task.
"""

from collections.abc import Mapping

from papo_jax.grading.integer_grader import canonical_integer
from papo_jax.tasks import templates
from papo_jax.tasks.family import Example, Family
from papo_jax.tasks.files import scalar, text


def parse(fields: Mapping) -> Example:
    """Reads a row of either form.

    >>> message = {"role": "user", "content": templates.fill(templates.DAPO, "1+1?")}
    >>> parse({"prompt": [message], "reward_model": {"ground_truth": "2"}})
    Example(question='1+1?', answer='2', grader='integer')

    Raises:
      ValueError: if a field is missing or the answer is no integer.
    """
    prompt = fields.get("prompt")
    if isinstance(prompt, list):
        if len(prompt) != 1 or not isinstance(prompt[0], Mapping):
            raise ValueError("the field 'prompt' should be a text or a list of one message")
        prompt = text(prompt[0], "content")
    question = templates.without(templates.DAPO, text({"prompt": prompt}, "prompt").strip()).strip()
    reward = fields.get("reward_model")
    gold = (
        scalar(reward, "ground_truth")
        if isinstance(reward, Mapping)
        else scalar(fields, "solution", "answer")
    )
    answer = canonical_integer(gold)
    if answer is None:
        raise ValueError(f"the answer should be an integer, not {gold[:40]!r}")
    return Example(question, answer, "integer")


FAMILY = Family("dapo_math_17k", templates.BOXED, parse)
