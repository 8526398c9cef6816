"""The benchmark of an iteration: its floor by hand, its table, and a run of a tiny size."""

import json

import pytest

from benchmarks import iteration
from benchmarks.work import Work

TINY = {
    "vocabulary": 64,
    "width": 8,
    "layers": 1,
    "heads": 2,
    "kv_heads": 1,
    "head_dim": 4,
    "mlp_width": 8,
    "prompts": 2,
    "samples": 2,
    "prompt_tokens": 3,
    "new_tokens": 4,
}


def test_floor_by_hand():
    """A decoder of 8 (8 + 4 + 4 + 8) + 3 x 64 weights, a head of 512; 16 drawn tokens."""
    decoder, head = 8 * 24 + 192, 512
    rollout = 2 * (16 * (decoder + head) + 6 * decoder)
    update = 6 * ((16 + 12) * decoder + 16 * head)
    assert Work(**TINY).floating_point_operations == rollout + update


def test_table():
    one = dict.fromkeys(iteration.COLUMNS, 1.0)
    one |= {"peak_bytes": 2e9, "operations_a_second": 1e9, "versions": "jax 1"}
    other = one | {"iteration": 2.5}
    lines = iteration.format_table({"papo": one, "torch_plain": other}, Work()).splitlines()
    assert [line.split("|")[6].strip() for line in lines[2:]] == ["1.00", "2.50"]
    assert iteration.take_medians([one, other, other])["iteration"] == 2.5


@pytest.mark.slow
def test_a_tiny_iteration_is_measured():
    found = iteration.measure_system("papo", rounds=1, work=TINY)
    assert found["iteration"] == pytest.approx(sum(found[name] for name in iteration.COLUMNS[:3]))
    assert found["peak_bytes"] > 0 and json.dumps(found)
