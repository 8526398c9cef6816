r"""Prompt templates: the text around a question, put on, checked and taken off.

>>> fill_template("Q: {question}\nA:", "What is {x}?")
'Q: What is {x}?\nA:'
"""

from papo_jax.errors import InputError

PLACEHOLDER = "{question}"
BOXED = PLACEHOLDER + "\nPlease reason step by step, and put your final answer within \\boxed{}."
MARKED = PLACEHOLDER + "\nReason step by step. End with the final answer, an integer, after ####."
TAGGED = (
    PLACEHOLDER + "\nThink it through, then put your final answer between <answer> and </answer>."
)
DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of "
    "the form Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
    + PLACEHOLDER
    + '\n\nRemember to put your answer on its own line after "Answer:".'
)
KNOWN = (BOXED, MARKED, TAGGED, DAPO)


def check_template(template: str) -> None:
    """Checks a template of the user's.

    Args:
      template: text with one "{question}".

    Raises:
      InputError: if the placeholder is missing or comes more than once.
    """
    if template.count(PLACEHOLDER) != 1:
        raise InputError(
            f"a task's template holds {PLACEHOLDER} exactly once, "
            f"not {template.count(PLACEHOLDER)} times: {template[:60]!r}"
        )


def fill_template(template: str, question: str) -> str:
    """Returns the template with the question in its place; any other brace is text."""
    return template.replace(PLACEHOLDER, question, 1)


def split_template(template: str) -> tuple[str, str]:
    """Returns the texts that a template puts before the question and after it.

    >>> split_template("Q: {question}")
    ('Q: ', '')
    """
    before, _, after = template.partition(PLACEHOLDER)
    return before, after


def remove_template(template: str, prompt: str) -> str:
    """Takes a template off a prompt; returns a prompt that does not carry it unchanged.

    >>> template = "{question} Think."
    >>> remove_template(template, "1+1? Think."), remove_template(template, "1+1?")
    ('1+1?', '1+1?')
    """
    before, after = split_template(template)
    carries_template = (
        prompt.startswith(before)
        and prompt.endswith(after)
        and len(prompt) > len(before) + len(after)
    )
    return prompt[len(before) : len(prompt) - len(after)] if carries_template else prompt
