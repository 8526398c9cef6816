"""Parser of the command line; errors of absl and ml_collections become one clear line."""

import pathlib
from typing import NamedTuple

from absl import flags
from ml_collections import config_flags

from papo_jax.config import config_dict
from papo_jax.config.local_paths import check_flags, parse_path
from papo_jax.errors import InputError

DEFAULT_CONFIG = pathlib.Path(__file__).parents[2] / "experiments" / "configs" / "default.py"
MODES = ("train", "evaluate", "export")
DTYPES = ("float32", "bfloat16", "float16")


class Command(NamedTuple):
    """A parsed command line.

    Attributes:
      mode: one of `MODES`.
      config: of the run; for export the run's own file counts, not this.
      named: the config keys that the command line sets; "" for the config's file itself.
      workdir: where the run's files are, or go.
      output: where an export or an evaluation goes, or None for a place in the work directory.
      dtype: of an export, or None for that of the base model's files.
    """

    mode: str
    config: config_dict.Config
    named: tuple[str, ...]
    workdir: pathlib.Path
    output: pathlib.Path | None
    dtype: str | None


def parse_command_line(arguments: list[str]) -> Command:
    """Reads --config with its overrides, --workdir, --mode, --output and --dtype.

    Args:
      arguments: as in `sys.argv`, the program's name first.

    Returns:
      The `Command`.

    Raises:
      InputError: if a flag, a key or a value does not exist or does not fit.
    """
    check_flags(arguments)
    known = flags.FlagValues()  # of this call alone, so that it can be made again
    workdir = flags.DEFINE_string(
        "workdir", "runs/default", "where the run's files go", flag_values=known
    )
    mode = flags.DEFINE_enum("mode", "train", MODES, "what to do", flag_values=known)
    output = flags.DEFINE_string(
        "output", None, "where an export or an evaluation goes", flag_values=known
    )
    dtype = flags.DEFINE_enum("dtype", None, DTYPES, "of an export's weights", flag_values=known)
    try:
        # The default file is read here already, with the overrides.
        config = config_flags.DEFINE_config_file(
            "config", str(DEFAULT_CONFIG), "the run's config", flag_values=known, sys_argv=arguments
        )
        rest = known(arguments)[1:]
        config.value.keys()  # a file that cannot be read is only reported when it is used
    except Exception as error:  # KeyError, AttributeError, TypeError, flags.Error, ... as they come
        raise InputError(_explain_error(error, arguments)) from None
    if rest:
        raise InputError(f"{rest[0]!r} is no flag; see the first lines of run.py")
    _check_mode(mode.value, arguments, output.value, dtype.value)
    return Command(
        mode=mode.value,
        config=config.value,
        named=_list_config_keys(arguments),
        workdir=parse_path("--workdir", workdir.value),
        output=None if output.value is None else parse_path("--output", output.value),
        dtype=dtype.value,
    )


def _list_config_keys(arguments: list[str]) -> tuple[str, ...]:
    """Lists the config keys among the arguments, "" for --config itself.

    absl reads --noconfig.key as --config.key=false.
    """
    names = [
        argument.lstrip("-").partition("=")[0]
        for argument in arguments[1:]
        if argument.startswith("-")
    ]
    names = [name.removeprefix("no") if name.startswith("noconfig.") else name for name in names]
    return tuple(
        name.removeprefix("config").removeprefix(".")
        for name in names
        if name.partition(".")[0] == "config"
    )


def _check_mode(mode: str, arguments: list[str], output: str | None, dtype: str | None) -> None:
    """Raises for flags that would have no effect."""
    if mode == "export":
        for argument in arguments[1:]:
            if argument.lstrip("-").startswith("config"):
                raise InputError(
                    "--mode=export takes the config of the run in --workdir; leave"
                    f" {argument.partition('=')[0]} out"
                )
    elif dtype:
        raise InputError("--dtype belongs to --mode=export")
    elif output and mode == "train":
        raise InputError(
            "--output belongs to --mode=export and --mode=evaluate; training writes into --workdir"
        )


def _explain_error(error: Exception, arguments: list[str]) -> str:
    """Turns an error of absl or ml_collections about the command line into one helpful line."""
    keys = config_dict.list_keys(config_dict.default_config())
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0]
        if name.startswith("config.") and name.removeprefix("config.") not in keys:
            return config_dict.unknown_key(name.removeprefix("config."), keys)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # A config file that raises comes back as a whole traceback, whose last line is what it said.
    said = lines[-1] if "whilst parsing config file" in lines[0] else " ".join(lines)
    return said.removeprefix("papo_jax.errors.InputError: ")
