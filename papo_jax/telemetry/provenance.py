"""Provenance of a run: versions, devices, seeds, fingerprints of data, weights and prompts."""

import datetime
import hashlib
import importlib.metadata
import platform
import sys
from typing import Any

import jax
import numpy as np

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "transformers",
    "tensorflow-datasets",
    "numpy",
)
_ENTRIES_AT_ONCE = 2**24  # on the host


def describe_run(
    *,
    settings: dict[str, Any],
    began: datetime.datetime,
    data: dict[str, Any],
    params: Any,
    policy: dict[str, Any],
    prompts: dict[str, Any],
    mesh: Any,
) -> dict[str, Any]:
    """Returns what `provenance.json` holds.

    Args:
      settings: the resolved settings.
      began: when the run began, which its chat template may write.
      data: names, sizes and fingerprints of the problems.
      params: the base policy's parameters.
      policy: sections about its decoder and its tokenizer.
      prompts: how texts become prompts, and fingerprints of these.
      mesh: the device mesh.

    Returns:
      A nested dict of plain values.
    """
    versions = {name: _package_version(name) for name in PACKAGES}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "devices": {
            "kind": jax.devices()[0].device_kind,
            "platform": jax.default_backend(),
            "mesh": dict(mesh.shape),
        },
        "began": began.isoformat(),
        "seeds": {"run": settings["seed"], "task": settings["task"]["seed"]},
        "data": data,
        "model": {
            "path": settings["model"]["path"],
            "parameters": int(sum(leaf.size for leaf in jax.tree.leaves(params))),
            "fingerprint": fingerprint_params(params),
        },
        **policy,
        "prompts": prompts,
        "command": sys.argv[1:],
    }


def list_fingerprints(description: dict[str, Any]) -> dict[str, str]:
    """Returns the fingerprints in a description of a run.

    >>> list_fingerprints({"data": {"fingerprint": "5e", "size": 3}, "command": []})
    {'data': '5e'}
    """
    return {
        name: section["fingerprint"]
        for name, section in description.items()
        if isinstance(section, dict) and "fingerprint" in section
    }


def hash_text(text: str) -> str:
    """Returns the SHA-256 of a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def fingerprint_params(params: Any) -> str:
    """Returns the SHA-256 over every parameter's path, shape, dtype and bytes."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}".encode())
        # In pieces: the host need not have room for a parameter that is sharded over many devices.
        rows = max(1, _ENTRIES_AT_ONCE * leaf.shape[0] // leaf.size)
        for start in range(0, leaf.shape[0], rows):
            digest.update(np.asarray(leaf[start : start + rows]).tobytes())
    return digest.hexdigest()


def _package_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
