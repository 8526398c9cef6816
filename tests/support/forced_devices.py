"""The environment of a process that shall see several CPU devices."""

import os
import pathlib

ROOT = pathlib.Path(__file__).parents[2]


def device_environment(devices: int, *more_flags: str) -> dict[str, str]:
    """Returns this process's environment with so many devices; flags that it was given stay."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    given = os.environ.get("XLA_FLAGS", "")
    return {
        **os.environ,
        "XLA_FLAGS": " ".join((flags, *more_flags, given)).strip(),
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
