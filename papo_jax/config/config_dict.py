"""Settings and `ml_collections` configs, one into the other: the only file that knows both.

A config exists at the command line and in config files; nothing below the host loop ever sees one.
"""

import dataclasses
import difflib
import typing
from typing import Any

import ml_collections
from ml_collections import config_dict

from papo_jax.config.settings import Method, Settings, dotted_values
from papo_jax.errors import InputError


def default_config() -> ml_collections.ConfigDict:
    """Returns the locked config of the default run; a key that is not in it cannot be set."""
    return _to_config(Settings()).lock()


def apply(config: ml_collections.ConfigDict, variant: str) -> ml_collections.ConfigDict:
    """Applies the string after the colon of --config=FILE:method,key=value,... to a config.

    Args:
      config: changed in place and returned.
      variant: a method's name and any number of key=value; a key is dotted (training.steps) or the
        last part of one where that is not ambiguous (lam).

    Raises:
      InputError: if a key or a value does not fit.
    """
    keys = dotted(config)
    for part in filter(None, variant.split(",")):
        name, separator, text = part.partition("=")
        if not separator:
            name, text = "method.name", name
        matches = [name] if name in keys else [key for key in keys if key.endswith("." + name)]
        if len(matches) != 1:
            raise InputError(
                unknown_key(name, keys)
                if not matches
                else f"config key {name!r} could be {' or '.join(matches)}"
            )
        section, _, last = matches[0].rpartition(".")
        node = config[section] if section else config
        node[last] = _parse(text, node.get_type(last), matches[0])
    return config


def set_keys(config: ml_collections.ConfigDict, values: dict[str, Any]) -> None:
    """Sets dotted keys, {"training.steps": 7, ...}, in place; raises `KeyError` or `TypeError`
    where one does not fit."""
    for key, value in values.items():
        section, _, last = key.rpartition(".")
        (config[section] if section else config)[last] = value


def unknown_key(name: str, keys: list[str]) -> str:
    """Returns the message for a config key that does not exist, naming the nearest one."""
    near = difflib.get_close_matches(name, keys, n=1, cutoff=0.0)
    last = difflib.get_close_matches(
        name.split(".")[-1], [key.split(".")[-1] for key in keys], n=1, cutoff=0.7
    )
    hint = next((key for key in keys if last and key.split(".")[-1] == last[0]), near[0])
    return f"config has no key {name!r}; the nearest one is {hint!r}"


def resolve(config: ml_collections.ConfigDict) -> Settings:
    """Turns a config into settings; `papo_jax.config.checks` tells whether they fit together.

    Raises:
      InputError: if a value has the wrong type.
    """
    return _from_config(Settings, config, "")


def from_dict(values: dict[str, Any], path: Any) -> ml_collections.ConfigDict:
    """Turns what `to_dict` returned back into a config.

    Args:
      values: as they stand in a run's config.json.
      path: of that file, for messages.

    Returns:
      The config.

    Raises:
      InputError: if a key is missing or unknown, or a value does not fit: another version wrote it.
    """
    config = default_config()
    # Of the method, config.json has the numbers of its own preset and the names of its functions.
    method = {f"method.{field.name}" for field in dataclasses.fields(Method)}
    flat = {**dict.fromkeys(method), **dotted_values(values)}
    known = {key for key in flat if not key.startswith("method.") or key in method}
    if known != set(dotted(config)):
        raise InputError(
            f"{path} is not of this version: {min(known ^ set(dotted(config)))}; use the version that trained"
        )
    try:
        set_keys(config, {key: flat[key] for key in known})
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not of this version: {error}; use the version that trained"
        ) from None
    return config


def _to_config(section: Any) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            value = _to_config(value)
        elif value is None:
            value = config_dict.placeholder(_type_of(field))
        config[field.name] = value
    return config


def _from_config(cls: type, config: ml_collections.ConfigDict, prefix: str) -> Any:
    values = {}
    for field in dataclasses.fields(cls):
        if field.name not in config:
            raise InputError(
                f"the config lacks the key {prefix}{field.name}; start from papo_jax.config.config_dict.default_config()"
            )
        value = config[field.name]
        if isinstance(value, ml_collections.ConfigDict):
            values[field.name] = _from_config(field.type, value, f"{prefix}{field.name}.")
            continue
        wanted = _type_of(field)
        if wanted is float and type(value) is int:
            value = float(value)
        if value is not None and type(value) is not wanted:
            raise InputError(
                f"config key {prefix}{field.name} is {value!r}; it must be of type {wanted.__name__}"
            )
        values[field.name] = value
    return cls(**values)


def _type_of(field: dataclasses.Field) -> type:
    """The plain type of a field, `float` for `float | None`."""
    options = [
        option
        for option in typing.get_args(field.type) or (field.type,)
        if option is not type(None)
    ]
    return options[0]


def dotted(config: ml_collections.ConfigDict, prefix: str = "") -> list[str]:
    """Returns every key of a config as it is written on the command line, "training.steps"."""
    keys = []
    for name, value in config.items():
        keys += (
            dotted(value, f"{prefix}{name}.")
            if isinstance(value, ml_collections.ConfigDict)
            else [prefix + name]
        )
    return keys


def _parse(text: str, wanted: type, key: str) -> Any:
    try:
        if wanted is bool:
            return {"true": True, "false": False}[text.lower()]
        return wanted(text)
    except (ValueError, KeyError):
        raise InputError(
            f"config key {key} cannot be {text!r}; it must be of type {wanted.__name__}"
        ) from None
