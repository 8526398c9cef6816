r"""The text around a question: how it is put on, and the fixed texts that are known to stand around
questions.

>>> fill("Q: {question}\nA:", "What is {x}?")
'Q: What is {x}?\nA:'
"""

from papo_jax.errors import InputError

PLACE = "{question}"
BOXED = PLACE + "\nPlease reason step by step, and put your final answer within \\boxed{}."
MARKED = PLACE + "\nReason step by step. End with the final answer, an integer, after ####."
TAGGED = PLACE + "\nThink it through, then put your final answer between <answer> and </answer>."
DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
    + PLACE
    + '\n\nRemember to put your answer on its own line after "Answer:".'
)
KNOWN = (BOXED, MARKED, TAGGED, DAPO)


def check(template: str) -> None:
    """Checks a template of the user's.

    Args:
      template: text with one "{question}".

    Raises:
      InputError: if the place of the question is missing or there are several.
    """
    if template.count(PLACE) != 1:
        raise InputError(
            f"a task's template holds {PLACE} exactly once, not {template.count(PLACE)} times: {template[:60]!r}"
        )


def fill(template: str, question: str) -> str:
    """Returns the template with the question in its place; any other brace is text."""
    return template.replace(PLACE, question, 1)


def affixes(template: str) -> tuple[str, str]:
    """Returns what a template puts before the question and after it.

    >>> affixes("Q: {question}")
    ('Q: ', '')
    """
    before, _, after = template.partition(PLACE)
    return before, after


def without(template: str, prompt: str) -> str:
    """Takes a template off a prompt; a prompt that does not carry it is returned as it is.

    >>> (without("{question} Think.", "1+1? Think."), without("{question} Think.", "1+1?"))
    ('1+1?', '1+1?')
    """
    before, after = affixes(template)
    if not (
        prompt.startswith(before)
        and prompt.endswith(after)
        and len(prompt) > len(before) + len(after)
    ):
        return prompt
    return prompt[len(before) : len(prompt) - len(after)]
