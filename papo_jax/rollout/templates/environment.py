"""The environment of chat templates: the sandbox and the functions that `transformers` gives them.

The moment that `strftime_now` writes is an argument here, so that a template writes the same text
in a run that is resumed.
"""

import datetime
import json
from typing import Any, NoReturn

import jinja2
from jinja2 import ext, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


def compile_template(text: str, moment: datetime.datetime) -> jinja2.Template:
    """Compiles a chat template.

    Args:
      text: of the template.
      moment: what `strftime_now` writes.

    Returns:
      A template to render with `messages`, `add_generation_prompt` and the special tokens.

    Raises:
      Exception: of any kind, where the text is no template.

    >>> made = compile_template("{{ strftime_now('%d %b') }}", datetime.datetime(2024, 7, 26))
    >>> made.render()
    '26 Jul'
    """
    environment = _PlainEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": moment.strftime,
        "namespace": _PublicNamespace,
        "dict": _DictMaker(),
    }
    return environment.from_string(text)


class _PlainEnvironment(ImmutableSandboxedEnvironment):
    """An environment whose errors come as they are."""

    def handle_exception(self, source: str | None = None) -> NoReturn:
        """Raises the error; jinja would first write code objects to mend its traceback."""
        raise


class _GenerationBlock(ext.Extension):
    """`{% generation %}`, which marks what an assistant wrote; it writes its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _PublicNamespace(Namespace):
    """A namespace without attributes that begin with an underscore, ways out of the sandbox."""

    def __init__(*arguments, **attributes):
        self, *given = arguments
        attributes = dict(*given, **attributes)
        for name in attributes:
            _refuse_underscore(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        _refuse_underscore(name)
        super().__setitem__(name, value)


def _refuse_underscore(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace may not have the attribute {name!r}")


class _DictMaker:
    """`dict`, without the attributes of the type."""

    def __call__(self, *arguments, **fields):
        return dict(*arguments, **fields)

    def fromkeys(self, *arguments):
        return dict.fromkeys(*arguments)


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    """jinja's own filter would escape what HTML does not allow."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)
