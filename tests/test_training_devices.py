"""Eight devices compute what one does: same loss, gradients, statistics and tokens, with everything split.

The devices have to be asked for before jax starts, so this file runs itself, a process for each mesh.
"""

import dataclasses
import functools
import json
import os
import pathlib
import pickle
import subprocess
import sys

import pytest

from papo_jax.methods import calling, presets

MESHES = {"data8": (8, 1, 1), "fsdp8": (1, 8, 1), "data4_tensor2": (4, 1, 2), "data2_fsdp2_tensor2": (2, 2, 2)}


def distinct() -> list[str]:
    """A preset for every objective with its numbers: what presets of one objective differ in is done before an update."""
    found = {}
    for name in presets.PRESETS:
        method = presets.get(name)
        rule = method["objective"]
        found.setdefault((rule, tuple(sorted(calling.keywords(rule.loss, method).items()))), name)
    return [name for name in found.values() if name != "dapo"]  # the one that everything else here is measured with


# Each on one mesh: in the default set one that looks across tokens and draws, the others dealt out in turn.
QUICK, REST = ("clip_cov",), ("data8", "fsdp8", "data2_fsdp2_tensor2")
PLACED = {"data4_tensor2": QUICK} | {
    mesh: tuple(name for name in distinct() if name not in QUICK)[number :: len(REST)] for number, mesh in enumerate(REST)
}

MESH = pytest.mark.parametrize(
    "mesh", [pytest.param(name, marks=() if name == "data4_tensor2" else pytest.mark.slow) for name in MESHES]
)


@pytest.fixture(scope="module")
def measured(small, tmp_path_factory):
    """A function from a mesh's name to what a process of its own measured there, once."""
    # 1,024 rows, so that a share of 99.9 % means something.
    made = small({"rollout.prompts": 32, "rollout.samples": 32, "training.minibatches": 4, "training.steps": 2})
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(pathlib.Path(__file__).parent.parent)

    @functools.cache
    def run(mesh: str) -> dict:
        place = tmp_path_factory.mktemp(mesh)
        (place / "settings").write_bytes(pickle.dumps(made))
        done = subprocess.run([sys.executable, __file__, mesh, place], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads((place / "found.json").read_text())

    return run


@MESH
def test_everything_is_that_of_one_device(measured, mesh):
    found = measured(mesh)
    assert found["gradient_apart"] < 1e-5  # of the largest entry
    assert found["loss_apart"] < 1e-5
    assert found["statistics_apart"] < 1e-5
    assert found["directional_apart"] < 1e-5
    assert found["steering_apart"] < 1e-5
    assert found["realised_apart"] < 1e-5  # nats: a difference of two entropies
    assert found["same_rows"] >= 0.999


@MESH
def test_methods_are_those_of_one_device(measured, mesh):
    apart = measured(mesh)["methods"]
    assert sorted(apart) == sorted(PLACED[mesh])
    for name, (gradient, loss) in apart.items():
        assert gradient < 1e-5 and loss < 1e-5, name  # of the largest entry; of a mean of numbers around 1


@MESH
def test_batch_and_parameters_are_really_split(measured, mesh):
    data, fsdp, tensor = MESHES[mesh]
    assert measured(mesh)["shards"] == {
        "mask": [1024 // (data * fsdp), 8],
        "evaluated": [32 * 4 // (data * fsdp), 8],
        "embedding": [100 // tensor, 32 // fsdp],
        "query": [2, 32 // fsdp, 4 // tensor, 8],
        "down": [2, 64 // tensor, 32 // fsdp],
        "second_moment": [2, 64 // tensor, 32 // fsdp],
        "final_norm": [32],
    }


@pytest.mark.slow
def test_adapters_are_split_and_train_as_on_one_device(measured):
    lora = measured("data2_fsdp2_tensor2")["lora"]
    assert lora["shards"] == [[2, 64 // 2, 2], [2, 2, 32 // 2]]  # [L, inner width, rank] and [L, rank, width]
    assert len(lora["split"]) == 2 and lora["split"][0] != lora["split"][1]
    for split, whole in zip(lora["split"], lora["whole"], strict=True):
        assert split == pytest.approx(whole, rel=1e-3)  # a token in a thousand rows may differ


@pytest.mark.slow
def test_run_and_its_checkpoint_on_another_mesh(measured):
    run = measured("data2_fsdp2_tensor2")["run"]
    assert run["rows"] == [0, 1]
    assert run["same_parameters"] and run["all_finite"]
    assert run["shard_after"] == [100, 4]  # width 32 over fsdp = 8


def measure(mesh: str, place: pathlib.Path) -> dict:
    """Runs in the process with eight devices."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from papo_jax import parallel
    from papo_jax.models.layers import LOGICAL_AXES
    from papo_jax.telemetry import report, runfiles
    from papo_jax.methods import phase
    from papo_jax.training import loop, steering
    from papo_jax.training.gradients import accumulate
    from papo_jax.training.session import prepare
    from papo_jax.training.trajectories import Batch

    report.write = lambda workdir: workdir
    settings = pickle.loads((place / "settings").read_bytes())
    on = lambda sizes: dataclasses.replace(  # noqa: E731
        settings, mesh=dataclasses.replace(settings.mesh, **dict(zip(parallel.AXES, sizes, strict=True)))
    )
    assert jax.device_count() == 8

    # Entropy is low and there is a bonus, so that what waits for that acts.
    low = phase.init()._replace(ema=jnp.float32(1.0), entropy=jnp.float32(0.1), bonus=jnp.float32(3e-3))

    def gradients(session, method="dapo", **options):
        """The gradient of a quarter of the rows, as an update sees them."""
        params = jax.tree.map(lambda leaf: leaf.sharding, session.initial.params)
        function = lambda params, batch: accumulate(  # noqa: E731
            params, batch, jax.random.key(6), low, graph=session.policy.graph, method=presets.get(method), limit=8,
            temperature=1.0, microbatches=2, mesh=session.mesh,
        )  # fmt: skip
        rows, whole = parallel.batch_sharding(session.mesh), parallel.replicated(session.mesh)
        return jax.jit(function, in_shardings=(params, rows), out_shardings=(params, whole), compiler_options=options)

    def steered(session):
        """Parameter polarity of unit advantages under plain gradient steps."""
        placed = jax.tree.map(lambda leaf: leaf.sharding, session.initial.params)
        function = lambda params, rows: steering.unit_parameter(  # noqa: E731
            params, None, rows, graph=session.policy.graph, temperature=1.0, parts=2, mesh=session.mesh
        )
        rows = parallel.batch_sharding(session.mesh)
        return jax.jit(function, in_shardings=(placed, rows), out_shardings=rows)

    def apart(first, second):
        """The largest difference, as a share of the largest entry of all leaves."""
        first, second = (jax.tree.leaves(jax.device_get(tree)) for tree in (first, second))
        return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True)) / max(
            float(np.abs(b).max()) for b in second
        )

    one = prepare(on((1, 1, 1)), place / "one")
    params, key = jax.device_get(one.initial.params), jax.random.key(5)
    prompts = one.prompts(range(32))
    completions, trajectories = jax.device_get(one.programs.rollout(params, prompts, key))
    stats = jax.device_get(one.programs.assess(params, trajectories))
    rng = np.random.default_rng(0)
    moved = jax.tree.map(lambda leaf: leaf + np.float32(1e-3) * rng.normal(size=leaf.shape).astype(np.float32), params)
    advantages = rng.choice([-1.0, 0.5, 1.0], stats.logprob.shape).astype(np.float32)
    log_ratio = rng.choice([0.0, 0.1, -0.1, 0.6, -0.6], stats.logprob.shape).astype(np.float32)
    identities = np.arange(len(log_ratio), dtype=np.int32), rng.random(len(log_ratio)).astype(np.float32)
    batch = Batch(trajectories, stats.logprob - log_ratio, stats.logprob, advantages, trajectories.mask, *identities)
    quarter = jax.tree.map(lambda leaf: leaf[::4], batch)
    expected = jax.device_get(gradients(one)(params, quarter))
    hide = lambda tree: jax.tree.map(lambda leaf: np.where(trajectories.mask, leaf, 0), tree)  # noqa: E731
    change = hide(jax.device_get(one.programs.entropy_change(params, moved, trajectories)))

    session = prepare(on(MESHES[mesh]), place / mesh)
    state = session.initial
    quarter_there = session.programs.take(batch, jnp.arange(0, 1024, 4))
    got, sums = gradients(session)(state.params, quarter_there)
    methods = {}
    for name in PLACED[mesh]:
        make = functools.partial(gradients, method=name, xla_backend_optimization_level=0)  # half the time to compile
        of_one, of_many = make(one)(params, quarter), make(session)(state.params, quarter_there)
        methods[name] = [apart(of_many[0], of_one[0]), abs(float(of_many[1]["loss"]) - float(of_one[1]["loss"]))]
    placed = jax.device_put(moved, parallel.param_shardings(session.mesh, moved, LOGICAL_AXES))
    there = hide(jax.device_get(session.programs.entropy_change(state.params, placed, trajectories)))
    drawn, _ = session.programs.rollout(state.params, prompts, key)
    shape = lambda leaf: list(leaf.addressable_shards[0].data.shape)  # noqa: E731
    found = {
        "methods": methods,
        "gradient_apart": apart(got, expected[0]),
        "loss_apart": float(abs(sums["loss"] / expected[1]["loss"] - 1)),
        "statistics_apart": apart(hide(jax.device_get(session.programs.assess(state.params, trajectories))), hide(stats)),
        "steering_apart": apart(steered(session)(state.params, trajectories), steered(one)(params, trajectories)),
        "directional_apart": apart(there.directional, change.directional),
        "realised_apart": float(np.abs(there.realised - change.realised).max()),
        "same_rows": float((np.asarray(drawn.tokens) == completions.tokens).all(axis=1).mean()),
        "shards": {
            "mask": shape(session.programs.take(batch, jnp.arange(1024)).trajectories.mask),
            "evaluated": shape(session.evaluator.program(state.params, prompts, key).mask),
            "embedding": shape(got["embedding"]),
            "query": shape(got["blocks"]["attention"]["query"]),
            "down": shape(state.params["blocks"]["mlp"]["down"]),
            "second_moment": shape(state.opt_state[1][0].nu["blocks"]["mlp"]["down"]),
            "final_norm": shape(state.params["final_norm"]["scale"]),
        },
    }
    if mesh == "data2_fsdp2_tensor2":
        found["lora"] = {}
        for name, sizes in (("split", (2, 2, 2)), ("whole", (1, 1, 1))):
            model = dataclasses.replace(settings.model, lora_rank=2, param_dtype="bfloat16")
            adapted = dataclasses.replace(on(sizes), model=model)
            loop.run(adapted, place / f"lora_{name}")
            rows = runfiles.read_rows(place / f"lora_{name}" / "metrics.jsonl")
            found["lora"][name] = [[row["entropy"], row["grad_norm"]] for row in rows]
            if name == "split":
                state = prepare(adapted, place / f"lora_{name}").initial
                found["lora"]["shards"] = [shape(state.params["blocks"]["mlp"][f"down_lora_{end}"]) for end in ("in", "out")]
        loop.run(on((2, 2, 2)), place / "run")
        before, after = (prepare(on(sizes), place / "run").initial for sizes in ((2, 2, 2), (1, 8, 1)))
        rows = runfiles.read_rows(place / "run" / "metrics.jsonl")
        pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
        found["run"] = {
            "rows": [row["step"] for row in rows],
            "all_finite": all(value is not None for row in rows for value in row.values()),
            "same_parameters": all(bool((np.asarray(a) == np.asarray(b)).all()) for a, b in pairs),
            "shard_after": shape(after.params["embedding"]),
        }
    return found


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[2])
    (folder / "found.json").write_text(json.dumps(measure(sys.argv[1], folder)))
