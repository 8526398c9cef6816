"""The device that a program is compiled for."""

from typing import NamedTuple

import jax


class TargetDevice(NamedTuple):
    """A platform ("cpu", "gpu" or "tpu") and the name of the kind of device."""

    platform: str
    kind: str


def get_target_device() -> TargetDevice:
    """Returns the device of the abstract mesh in use, or else this machine's default device.

    Compilation ahead of time for a device that is absent runs under
    `jax.sharding.use_abstract_mesh` with a mesh whose `abstract_device` names it; inside
    `jax.shard_map` the mesh names it by itself.

    >>> device = jax.sharding.AbstractDevice(device_kind="TPU v4", num_cores=None, platform="tpu")
    >>> with jax.sharding.use_abstract_mesh(
    ...     jax.sharding.AbstractMesh((), (), abstract_device=device)
    ... ):
    ...     get_target_device()
    TargetDevice(platform='tpu', kind='TPU v4')
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is not None:
        return TargetDevice(platform=device.platform, kind=device.device_kind)
    return TargetDevice(platform=jax.default_backend(), kind=jax.devices()[0].device_kind)
