"""Conversion between settings and `ml_collections` configs: the only file that knows both.

A config exists at the command line and in config files; nothing below the host loop ever sees one.
"""

import dataclasses
import difflib
import typing
from typing import Any

import ml_collections
from ml_collections import config_dict

from papo_jax.config.default_settings import Settings, flatten_dotted
from papo_jax.errors import InputError
from papo_jax.methods import presets
from papo_jax.methods.method import Method

Config = Any  # an `ml_collections.ConfigDict`, whose keys are attributes that no checker knows


def default_config() -> Config:
    """Returns the locked config of the default run; a key that is not in it cannot be set."""
    return _to_config(Settings()).lock()


def apply_variant(config: Config, variant: str) -> Config:
    """Applies the string after the colon of --config=FILE:method,key=value,... to a config.

    Args:
      config: changed in place and returned.
      variant: a method's name and any number of key=value; a key is dotted (training.steps) or the
        last part of one where that is not ambiguous (lam).

    Raises:
      InputError: if a key or a value does not fit.
    """
    keys = list_keys(config)
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
        node[last] = _parse_value(text, node.get_type(last), matches[0])
    return config


def set_keys(config: Config, values: dict[str, Any]) -> None:
    """Sets dotted keys, {"training.steps": 7, ...}, in place.

    Raises:
      KeyError, TypeError: if one does not fit.
    """
    for key, value in values.items():
        section, _, last = key.rpartition(".")
        (config[section] if section else config)[last] = value


def unknown_key(name: str, keys: list[str]) -> str:
    """Returns the message for a config key that does not exist, naming the nearest one."""
    lasts = [key.split(".")[-1] for key in keys]
    last = difflib.get_close_matches(name.split(".")[-1], lasts, n=1, cutoff=0.7)
    candidates = [key for key in keys if key.split(".")[-1] in last] or keys
    (hint,) = difflib.get_close_matches(name, candidates, n=1, cutoff=0.0)
    return f"config has no key {name!r}; the nearest one is {hint!r}"


def resolve_settings(config: Config) -> Settings:
    """Turns a config into settings; `papo_jax.config.checks` tells whether they fit together.

    Raises:
      InputError: if a value has the wrong type.
    """
    return _from_config(Settings, config, "")


def from_dict(values: dict[str, Any], path: Any) -> Config:
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
    # Of the method, config.json has its own preset's hyperparameters; other presets' stay open.
    method = {f"method.{name}" for name in ("name", *presets.hyperparameter_types())}
    flat = {**dict.fromkeys(method), **flatten_dotted(values)}
    differing = flat.keys() ^ set(list_keys(config))
    if differing:
        raise InputError(
            f"{path} is not of this version: {min(differing)}; use the version that trained"
        )
    try:
        set_keys(config, flat)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not of this version: {error}; use the version that trained"
        ) from None
    return config


def _to_config(section: Any) -> Config:
    """Makes the config of a section, or of all settings."""
    config = ml_collections.ConfigDict()
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if isinstance(value, Method):
            value = _method_config(value)
        elif dataclasses.is_dataclass(value):
            value = _to_config(value)
        elif value is None:
            value = config_dict.placeholder(_type_of(field))
        config[field.name] = value
    return config


def _method_config(method: Method) -> Config:
    """Makes the section of a preset: its name, and every hyperparameter of any preset, open."""
    kinds = presets.hyperparameter_types()
    hyperparameters = {name: config_dict.placeholder(kind) for name, kind in kinds.items()}
    return ml_collections.ConfigDict({"name": method.name, **hyperparameters})


def _from_config(cls: type, config: Config, prefix: str) -> Any:
    values = {}
    for field in dataclasses.fields(cls):
        if field.name not in config:
            raise InputError(
                f"the config lacks the key {prefix}{field.name};"
                " start from papo_jax.config.config_dict.default_config()"
            )
        value = config[field.name]
        if field.type is Method:
            values[field.name] = _resolve_method(value)
        elif isinstance(value, ml_collections.ConfigDict):
            values[field.name] = _from_config(_type_of(field), value, f"{prefix}{field.name}.")
        else:
            values[field.name] = _check_type(value, _type_of(field), prefix + field.name)
    return cls(**values)


def _resolve_method(section: Config) -> Method:
    """Makes the method that a section names, with the hyperparameters that it sets."""
    kinds = presets.hyperparameter_types()
    if section.name not in presets.PRESETS:
        raise InputError(f"method.name {section.name!r} is none of {', '.join(presets.PRESETS)}")
    hyperparameters = {
        name: _check_type(value, kinds[name], f"method.{name}")
        for name, value in section.items()
        if name != "name" and value is not None
    }
    try:
        return presets.get(section.name, **hyperparameters)
    except ValueError as error:  # a hyperparameter that the method does not have
        raise InputError(f"{error}; leave it out or choose another method.name") from None


def _check_type(value: Any, wanted: type, key: str) -> Any:
    """Returns a value, an integer as the float that is wanted; raises if it is of another type."""
    if wanted is float and type(value) is int:
        return float(value)
    if value is not None and type(value) is not wanted:
        raise InputError(f"config key {key} is {value!r}; it must be of type {wanted.__name__}")
    return value


def _type_of(field: dataclasses.Field) -> type:
    """The plain type of a field, `float` for `float | None`."""
    options: list[Any] = [
        option
        for option in typing.get_args(field.type) or (field.type,)
        if option is not type(None)
    ]
    return options[0]


def list_keys(config: Config, prefix: str = "") -> list[str]:
    """Returns every key of a config as it is written on the command line, "training.steps"."""
    keys = []
    for name, value in config.items():
        keys += (
            list_keys(value, f"{prefix}{name}.")
            if isinstance(value, ml_collections.ConfigDict)
            else [prefix + name]
        )
    return keys


def _parse_value(text: str, wanted: type, key: str) -> Any:
    try:
        if wanted is bool:
            return {"true": True, "false": False}[text.lower()]
        return wanted(text)
    except (ValueError, KeyError):
        raise InputError(
            f"config key {key} cannot be {text!r}; it must be of type {wanted.__name__}"
        ) from None
