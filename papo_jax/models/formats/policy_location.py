"""Location of a policy's files: a name of ours, a path, or a model of the Hugging Face hub."""

import pathlib
import re

from papo_jax.errors import InputError

_HUB_ID = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?")


def locate_policy(path: str) -> pathlib.Path:
    """Finds the directory or file that a name, a path or a hub id stands for.

    Args:
      path: "tiny", "smollm2", a directory, a `.gguf` file, or a model of the hub as `owner/name` or
        `owner/name@revision`. What exists on disk goes before the hub.

    Returns:
      The directory or file.

    Raises:
      InputError: if there is no such thing, or the hub does not provide it.

    >>> locate_policy("tiny").name
    'tiny'
    """
    if path == "tiny":
        return pathlib.Path(__file__).parents[1] / "tiny"
    if path == "smollm2":
        from papo_jax.models.formats.gguf import gguf_policy

        return gguf_policy.find_smollm2()

    local = _find_on_disk(path)
    if local is not None:
        return local

    hub_id = parse_hub_id(path)
    if hub_id is None:
        raise InputError(
            f"model.path {path!r} is neither a directory, a .gguf file nor one of the names tiny,"
            " smollm2, and a model of the Hugging Face hub reads owner/name"
        )
    from papo_jax.models.formats import hf_hub

    return hf_hub.fetch_model(*hub_id)


def parse_hub_id(path: str) -> tuple[str, str | None] | None:
    """Parses `owner/name` or `owner/name@revision`; returns None for any other text.

    Args:
      path: that names nothing on disk.

    Returns:
      The name, and the branch, tag or commit, None for the main branch.

    >>> parse_hub_id("Qwen/Qwen3-0.6B@main"), parse_hub_id("../policies/first")
    (('Qwen/Qwen3-0.6B', 'main'), None)
    >>> parse_hub_id("mine/model.gguf") is None
    True
    """
    found = _HUB_ID.fullmatch(path)
    return (found["name"], found["revision"]) if found and not path.endswith(".gguf") else None


def _find_on_disk(path: str) -> pathlib.Path | None:
    """Returns the directory or GGUF file at this path, None if nothing is there."""
    try:
        found = pathlib.Path(path).expanduser()
        if not path or not found.exists():
            return None
    # A closed directory, a name too long, ~ of an unknown user.
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"model.path {path!r} cannot be opened ({error}); check the path"
        ) from None
    if found.is_file() and found.suffix != ".gguf":
        raise InputError(
            f"model.path {path!r} is a file but no .gguf file; give the directory that it lies in"
        )
    return found
