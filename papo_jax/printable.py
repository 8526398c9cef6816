"""Text of files and policies, made fit for a terminal, where control characters are commands.

`papo_jax.errors` sends every message through here, `papo_jax.telemetry.progress` every table and
line.
"""


def printable_text(value: object, longest: int | None = 60) -> str:
    """Returns a value's text as one line that no terminal takes for a command.

    Args:
      value: turned into text.
      longest: number of characters to keep; None for all.

    >>> printable_text("a\\x1b[2Jb"), printable_text("two\\nlines\\a")
    ('a?[2Jb', 'two lines?')
    """
    text = str(value)[:longest]
    if text.isprintable():
        return text
    return "".join(map(_printable_character, text))


def printable_lines(text: str) -> str:
    """Returns text of several lines, each of them printable.

    >>> printable_lines("a\\x1b[2Jb\\nc")
    'a?[2Jb\\nc'
    """
    return "\n".join(printable_text(line, longest=None) for line in text.split("\n"))


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "?"
