"""Where the files of a policy are: a name of ours, a path, or a model of the Hugging Face hub."""

import pathlib
import re

from papo_jax.errors import InputError

_HUB_ID = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?")


def locate(path: str) -> pathlib.Path:
    """Finds the directory or file that a name, a path or a hub id stands for.

    Args:
      path: "tiny", "smollm2", a directory, a `.gguf` file, or a model of the hub as `owner/name` or
        `owner/name@revision`. What exists on disk goes before the hub.

    Returns:
      The directory or file.

    Raises:
      InputError: if there is no such thing, or the hub does not give it.

    >>> locate("tiny").name
    'tiny'
    """
    if path == "tiny":
        return pathlib.Path(__file__).parents[1] / "tiny"
    if path == "smollm2":
        from papo_jax.models.formats import gguf

        return gguf.find_smollm2()
    place = _on_disk(path)
    if place is not None:
        return place
    model = parse_hub_id(path)
    if model is None:
        raise InputError(
            f"model.path {path!r} is neither a directory, a .gguf file nor one of the names tiny, smollm2,"
            " and a model of the Hugging Face hub reads owner/name"
        )
    from papo_jax.models.formats import hub

    return hub.fetch(*model)


def parse_hub_id(path: str) -> tuple[str, str | None] | None:
    """Reads `owner/name` or `owner/name@revision`; None for what has another shape.

    Args:
      path: that names nothing on disk.

    Returns:
      The name, and the branch, tag or commit, None for the main branch.

    >>> (
    ...     parse_hub_id("Qwen/Qwen3-0.6B@main"),
    ...     parse_hub_id("../policies/first"),
    ...     parse_hub_id("mine/model.gguf"),
    ... )
    (('Qwen/Qwen3-0.6B', 'main'), None, None)
    """
    found = _HUB_ID.fullmatch(path)
    return (found["name"], found["revision"]) if found and not path.endswith(".gguf") else None


def _on_disk(path: str) -> pathlib.Path | None:
    """The directory or GGUF file at this path, None where there is nothing."""
    try:
        place = pathlib.Path(path).expanduser()
        if not path or not place.exists():
            return None
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # a closed directory, a name too long, ~ of an unknown user
        raise InputError(
            f"model.path {path!r} cannot be opened ({error}); check the path"
        ) from None
    if place.is_file() and place.suffix != ".gguf":
        raise InputError(
            f"model.path {path!r} is a file but no .gguf file; give the directory that it lies in"
        )
    return place
