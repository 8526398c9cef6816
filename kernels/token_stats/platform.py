"""Which device a program is made for: the one that an abstract mesh names, if one is in use, or
this machine's."""

from typing import NamedTuple

import jax


class Target(NamedTuple):
    """A platform ("cpu", "gpu" or "tpu") and the name of the kind of device."""

    platform: str
    kind: str


def current() -> Target:
    """Returns what is compiled for where this is called.

    Compiling ahead of time for a device that is not here goes under
    `jax.sharding.use_abstract_mesh` with a mesh whose `abstract_device` names it; inside
    `jax.shard_map` the mesh does so itself.

    >>> device = jax.sharding.AbstractDevice(device_kind="TPU v4", num_cores=None, platform="tpu")
    >>> with jax.sharding.use_abstract_mesh(
    ...     jax.sharding.AbstractMesh((), (), abstract_device=device)
    ... ):
    ...     current()
    Target(platform='tpu', kind='TPU v4')
    """
    abstract = jax.sharding.get_abstract_mesh().abstract_device
    if abstract is not None:
        return Target(abstract.platform, abstract.device_kind)
    return Target(jax.default_backend(), jax.devices()[0].device_kind)
