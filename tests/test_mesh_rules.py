"""The table from logical to mesh axes; tests/learner/test_devices.py has several devices."""

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from papo_jax import mesh_rules
from papo_jax.errors import InputError
from papo_jax.models.param_axes import LOGICAL_AXES


def mesh(data=1, fsdp=1, tensor=1):
    """A mesh of any size, without its devices."""
    return AbstractMesh((data, fsdp, tensor), mesh_rules.AXES, axis_types=(AxisType.Auto,) * 3)


@pytest.mark.parametrize(
    "logical, shape, expected",
    [
        (("vocabulary", "width"), (100, 32), ("tensor", "fsdp")),
        (("width", "heads", None), (32, 4, 8), ("fsdp", "tensor", None)),
        ((None, "heads", None, "width"), (6, 4, 8, 32), (None, "tensor", None, "fsdp")),
        (
            ("width", "heads", None),
            (32, 9, 8),
            ("fsdp", None, None),
        ),  # nine heads over two devices stay whole
        (("width",), (31,), (None,)),
        (("batch", None), (8, 5), (("data", "fsdp"), None)),
        (("batch", None), (6, 5), (None, None)),  # six rows over four devices
        (("no such name",), (8,), (None,)),
    ],
)
def test_spec(logical, shape, expected):
    assert mesh_rules.partition_spec(mesh(2, 2, 2), logical, shape) == PartitionSpec(*expected)


def test_several_processes_are_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    monkeypatch.setattr(jax, "process_index", lambda: 2)
    with pytest.raises(InputError, match="this is process 2 of 4; .* start one process"):
        mesh_rules.make_mesh()


def test_spec_wants_a_name_a_dimension():
    with pytest.raises(ValueError):
        mesh_rules.partition_spec(mesh(), ("width",), (3, 4))


def test_param_shardings_of_parameters_and_optimizer():
    shape = jax.ShapeDtypeStruct
    tree = {
        "embedding": shape((100, 32), np.float32),
        "blocks": {
            "attention": {"query": shape((6, 32, 4, 8), np.float32)},
            "norm": {"scale": shape((6, 32), np.float32)},
        },
        "count": shape((), np.int32),
        "unknown": shape((4, 4), np.float32),
    }
    one = mesh_rules.make_mesh()
    found = jax.tree.map(
        lambda sharding: sharding.spec, mesh_rules.param_shardings(one, tree, LOGICAL_AXES)
    )
    assert found["embedding"] == PartitionSpec("tensor", "fsdp")
    assert found["blocks"]["attention"]["query"] == PartitionSpec(
        None, "fsdp", "tensor", None
    )  # layers come first
    assert found["blocks"]["norm"]["scale"] == PartitionSpec(None, None)
    assert found["count"] == PartitionSpec()
    assert found["unknown"] == PartitionSpec(None, None)
    moments = mesh_rules.param_shardings(one, ({"mu": tree, "nu": tree},), LOGICAL_AXES)
    assert moments[0]["mu"]["embedding"].spec == PartitionSpec("tensor", "fsdp")


def test_one_device_is_a_mesh():
    one = mesh_rules.make_mesh()
    assert dict(one.shape) == {"data": 1, "fsdp": 1, "tensor": 1}
    assert mesh_rules.batch_parts(one) == 1
    assert mesh_rules.replicated_sharding(one).spec == PartitionSpec()
    assert mesh_rules.batch_sharding(one).spec == PartitionSpec(("data", "fsdp"))
    assert set(one.axis_types) == {AxisType.Auto}


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, -1, 1)])
def test_mesh_refuses_sizes_below_one(sizes):
    with pytest.raises(InputError, match="at least 1"):
        mesh_rules.make_mesh(*sizes)


def test_mesh_refuses_more_devices_than_there_are():
    with pytest.raises(
        InputError, match=rf"4096 x 1 x 2 needs 8192 devices; this machine has {jax.device_count()}"
    ):
        mesh_rules.make_mesh(4096, 1, 2)
