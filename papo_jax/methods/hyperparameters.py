"""Hyperparameters of a rule: its keyword-only arguments of plain type, with their bound values.

A hyperparameter is anything plain that a config may set: a float or an integer, a flag, the name of
a choice. Signatures are read when methods are loaded, to declare config keys; no array is passed
that way.
"""

import difflib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import jax

Hyperparameter = bool | int | float | str | None
PLAIN = (bool, int, float, str)


def declared_hyperparameters(rule: Callable) -> dict[str, type]:
    """Returns the name and the type of every hyperparameter that a rule declares.

    >>> def loss(tokens, *, clip_low: float = 0.2, target: float | None = None, key=None): ...
    >>> declared_hyperparameters(loss)
    {'clip_low': <class 'float'>, 'target': <class 'float'>}
    """
    return dict(_declare(unbind_function(rule)))


@functools.cache
def _declare(function: Callable) -> Mapping[str, type]:
    kinds = {
        name: plain_type(parameter.annotation)
        for name, parameter in _keyword_parameters(function).items()
    }
    return {name: kind for name, kind in kinds.items() if kind is not None}


def plain_type(annotation: Any) -> type | None:
    """Returns the type of a hyperparameter's annotation, which may allow None too; or None.

    >>> plain_type(float | None), plain_type(dict)
    (<class 'float'>, None)
    """
    options = typing.get_args(annotation) or (annotation,)
    kinds = [option for option in options if option is not type(None)]
    return kinds[0] if kinds and all(kind in PLAIN for kind in kinds) else None


def bound_hyperparameters(rule: Callable) -> dict[str, Hyperparameter]:
    """Returns the value of each hyperparameter of a rule: the bound one, else the default.

    >>> def loss(tokens, *, clip_low: float = 0.2, clip_high: float = 0.28): ...
    >>> bound_hyperparameters(functools.partial(loss, clip_high=0.3))
    {'clip_low': 0.2, 'clip_high': 0.3}
    """
    bound = rule.keywords if isinstance(rule, functools.partial) else {}
    parameters = _keyword_parameters(rule)
    return {
        name: bound.get(name, parameters[name].default) for name in declared_hyperparameters(rule)
    }


def bind_hyperparameters(rule: Callable, values: Mapping[str, Any]) -> Callable:
    """Binds those of the values that a rule declares; returns the rule itself if there is none."""
    own = {name: values[name] for name in declared_hyperparameters(rule) if name in values}
    return functools.partial(rule, **own) if own else rule


def check_binding(rule: Callable) -> None:
    """Raises `TypeError` for a bound name that a rule does not declare, or a value of another type.

    >>> def loss(tokens, *, clip_low: float = 0.2): ...
    >>> check_binding(functools.partial(loss, clip_lo=0.1))
    Traceback (most recent call last):
    TypeError: loss() declares no hyperparameter 'clip_lo'; the nearest is 'clip_low'
    """
    function, declared = unbind_function(rule), declared_hyperparameters(rule)
    for name, parameter in _keyword_parameters(rule).items():
        if (
            name in declared
            and parameter.default is parameter.empty
            and name not in _bound_keywords(rule)
        ):
            raise TypeError(f"{function.__name__}() gives {name!r} no default and nothing binds it")
    for name, value in _bound_keywords(rule).items():
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1, cutoff=0)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise TypeError(f"{function.__name__}() declares no hyperparameter {name!r}{hint}")
        accepted = (int, float) if declared[name] is float else declared[name]
        if isinstance(value, jax.Array | type(None)):
            continue  # a study that compiles once for all values traces it; None may be left open
        if not isinstance(value, accepted) or isinstance(value, bool) is not (accepted is bool):
            raise TypeError(
                f"{function.__name__}() is bound to {name} = {value!r}; it must be of type"
                f" {declared[name].__name__}"
            )


def _keyword_parameters(rule: Callable) -> Mapping[str, inspect.Parameter]:
    """Returns the keyword-only parameters of a rule's function."""
    return _read_signature(unbind_function(rule))


@functools.cache  # a config is made of every preset's rules, and each is read a few times
def _read_signature(function: Callable) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def unbind_function(rule: Callable) -> Callable:
    """Returns the function under a rule's `functools.partial`, or the rule itself."""
    return rule.func if isinstance(rule, functools.partial) else rule


def _bound_keywords(rule: Callable) -> dict[str, Any]:
    return rule.keywords if isinstance(rule, functools.partial) else {}
