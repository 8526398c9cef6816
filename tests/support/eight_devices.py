"""What eight devices compute beside what one does; tests/learner/test_devices.py runs this file,
with eight CPU devices.

Shapes: B sequences, T completion slots.
"""

import dataclasses
import functools
import json
import pathlib
import pickle
import sys

import jax
import jax.numpy as jnp
import numpy as np
from papo_jax.learner.trajectories import Batch
from papo_jax.training.session import Session, prepare

from papo_jax import parallel
from papo_jax.commands import train
from papo_jax.config.settings import Settings
from papo_jax.learner import parameter_polarity, weighted_advantages
from papo_jax.learner.gradients import accumulate
from papo_jax.methods import calling, phase, presets
from papo_jax.models.layers import LOGICAL_AXES
from papo_jax.report import report_page
from papo_jax.telemetry import runfiles
from tests.support.seeds import make_key, make_rng

MESHES = {
    "data8": (8, 1, 1),
    "fsdp8": (1, 8, 1),
    "data4_tensor2": (4, 1, 2),
    "data2_fsdp2_tensor2": (2, 2, 2),
}


def distinct() -> list[str]:
    """A preset for every objective with its numbers: what presets of one objective differ in is
    done before an update."""
    found = {}
    for name in presets.PRESETS:
        method = presets.get(name)
        rule = method["objective"]
        found.setdefault((rule, tuple(sorted(calling.keywords(rule.loss, method).items()))), name)
    return [
        name for name in found.values() if name != "dapo"
    ]  # the one that everything else here is measured with


def distinct_weights() -> list[str]:
    """A preset for every way from rewards to weights; the signal of parameter polarity is measured
    by itself."""
    found = {}
    for name in presets.PRESETS:
        method = presets.get(name)
        found.setdefault(
            tuple(method[key] for key in ("advantage", "shape", "drop", "bonus_rule", "signal"))
            + (method["lam"] > 0,),
            name,
        )
    return list(found.values())


# Each on one mesh: in the default set one that looks across tokens and draws, the others dealt out
# in turn.
REST = ("data8", "fsdp8", "data2_fsdp2_tensor2")


def dealt(names: list[str], quick: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Mesh -> the presets that are measured on it."""
    others = [name for name in names if name not in quick]
    return {"data4_tensor2": quick} | {
        mesh: tuple(others[number :: len(REST)]) for number, mesh in enumerate(REST)
    }


PLACED = dealt(distinct(), ("clip_cov",))
WEIGHED = dealt(distinct_weights(), ("papo_random_in_mass",))

# Entropy is low and there is a bonus, so that what waits for that acts.
LOW = phase.init()._replace(ema=np.float32(1.0), entropy=np.float32(0.1), bonus=np.float32(3e-3))


def on(settings: Settings, sizes: tuple[int, int, int]) -> Settings:
    """The settings on a mesh."""
    return dataclasses.replace(
        settings,
        mesh=dataclasses.replace(settings.mesh, **dict(zip(parallel.AXES, sizes, strict=True))),
    )


def gradients(session: Session, method: str = "dapo"):
    """The gradient of a quarter of the rows, as an update sees them."""
    params = jax.tree.map(lambda leaf: leaf.sharding, session.initial.params)

    def function(params, batch):
        return accumulate(
            params,
            batch,
            make_key(6),
            LOW,
            graph=session.policy.graph,
            method=presets.get(method),
            limit=8,
            temperature=1.0,
            microbatches=2,
            mesh=session.mesh,
        )

    rows, whole = parallel.batch_sharding(session.mesh), parallel.replicated(session.mesh)
    return jax.jit(function, in_shardings=(params, rows), out_shardings=(params, whole))


def steered(session: Session):
    """Parameter polarity of unit advantages under plain gradient steps."""
    placed = jax.tree.map(lambda leaf: leaf.sharding, session.initial.params)

    def function(params, rows):
        return parameter_polarity.unit_parameter(
            params,
            None,
            rows,
            graph=session.policy.graph,
            temperature=1.0,
            parts=2,
            mesh=session.mesh,
        )

    rows = parallel.batch_sharding(session.mesh)
    return jax.jit(function, in_shardings=(placed, rows), out_shardings=rows)


def weighed_apart(session: Session, name: str, trajectories, stats) -> dict[str, float]:
    """What a preset makes of a rollout's rewards, on one device and with its rows over the mesh; of
    booleans 0 or 1."""
    rng = make_rng(2)
    rewards = (rng.random((32, 32)) < rng.random((32, 1))).astype(np.float32)
    unit = rng.normal(size=stats.logprob.shape).astype(np.float32)
    identities = np.arange(1024, dtype=np.int32)
    arguments = (
        stats,
        rewards,
        trajectories.mask,
        np.ones_like(rewards, bool),
        identities,
        np.float32(0.9),
        LOW,
        make_key(7),
        unit,
    )
    function = functools.partial(weighted_advantages.weigh, method=presets.get(name), limit=8)
    rows, whole = parallel.batch_sharding(session.mesh), parallel.replicated(session.mesh)
    placed = jax.jit(
        function, in_shardings=(rows, rows, rows, rows, rows, whole, whole, whole, rows)
    )
    (one, _), (many, _) = jax.jit(function)(*arguments), placed(*arguments)
    assert len(many.weights.sharding.device_set) == 8
    fields = {
        field: apart(getattr(many, field), getattr(one, field))
        for field in ("advantages", "weights", "polarity", "pressure")
    }
    return fields | {
        "loss_mask": float((np.asarray(many.loss_mask) != np.asarray(one.loss_mask)).any())
    }


def apart(first, second) -> float:
    """The largest difference, as a share of the largest entry of all leaves."""
    first, second = (jax.tree.leaves(jax.device_get(tree)) for tree in (first, second))
    largest = max(float(np.abs(leaf).max()) for leaf in second)
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True)) / largest


def batch_of(trajectories, stats) -> Batch:
    """A rollout with drawn advantages and ratios, the same in every process."""
    rng = make_rng(1)
    advantages = rng.choice([-1.0, 0.5, 1.0], stats.logprob.shape).astype(np.float32)
    log_ratio = rng.choice([0.0, 0.1, -0.1, 0.6, -0.6], stats.logprob.shape).astype(np.float32)
    identities = (
        np.arange(len(log_ratio), dtype=np.int32),
        rng.random(len(log_ratio)).astype(np.float32),
    )
    polarity = advantages * stats.unit_polarity
    return Batch(
        trajectories,
        stats.logprob - log_ratio,
        stats.logprob,
        advantages,
        trajectories.mask,
        polarity,
        *identities,
    )


def measure(settings: Settings, mesh: str, place: pathlib.Path) -> dict:
    """One step's parts on one device and on the mesh."""
    one, session = (
        prepare(on(settings, (1, 1, 1)), place / "one"),
        prepare(on(settings, MESHES[mesh]), place / mesh),
    )
    params, state, key = jax.device_get(one.initial.params), session.initial, make_key(5)
    prompts = one.prompts(range(32))
    completions, trajectories = jax.device_get(one.programs.rollout(params, prompts, key))
    stats = jax.device_get(one.programs.assess(params, trajectories))
    batch = batch_of(trajectories, stats)
    quarter, quarter_there = (
        jax.tree.map(lambda leaf: leaf[::4], batch),
        session.programs.take(batch, jnp.arange(0, 1024, 4)),
    )

    def hide(tree):
        return jax.tree.map(lambda leaf: np.where(trajectories.mask, leaf, 0), jax.device_get(tree))

    expected, (got, sums) = (
        jax.device_get(gradients(one)(params, quarter)),
        gradients(session)(state.params, quarter_there),
    )
    methods = {}
    for name in PLACED[mesh]:
        make = functools.partial(gradients, method=name)
        of_one, of_many = make(one)(params, quarter), make(session)(state.params, quarter_there)
        methods[name] = [
            apart(of_many[0], of_one[0]),
            abs(float(of_many[1]["loss"]) - float(of_one[1]["loss"])),
        ]

    weighed = {name: weighed_apart(session, name, trajectories, stats) for name in WEIGHED[mesh]}
    rng = make_rng(0)
    moved = jax.tree.map(
        lambda leaf: leaf + np.float32(1e-3) * rng.normal(size=leaf.shape).astype(np.float32),
        params,
    )
    placed = jax.device_put(moved, parallel.param_shardings(session.mesh, moved, LOGICAL_AXES))
    change = hide(one.programs.entropy_change(params, moved, trajectories))
    there = hide(session.programs.entropy_change(state.params, placed, trajectories))
    drawn, _ = session.programs.rollout(state.params, prompts, key)
    return {
        "methods": methods,
        "weighed": weighed,
        "gradient_apart": apart(got, expected[0]),
        "loss_apart": float(abs(sums["loss"] / expected[1]["loss"] - 1)),
        "statistics_apart": apart(
            hide(session.programs.assess(state.params, trajectories)), hide(stats)
        ),
        "steering_apart": apart(
            steered(session)(state.params, trajectories), steered(one)(params, trajectories)
        ),
        "directional_apart": apart(there.directional, change.directional),
        "realized_apart": float(np.abs(there.realized - change.realized).max()),
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


def shape(leaf: jax.Array) -> list[int]:
    """Of the first device's part."""
    return list(leaf.addressable_shards[0].data.shape)


def adapted_runs(settings: Settings, place: pathlib.Path) -> dict:
    """Runs of adapters, on the mesh and whole."""
    found = {}
    for name, sizes in (("split", (2, 2, 2)), ("whole", (1, 1, 1))):
        model = dataclasses.replace(settings.model, lora_rank=2, param_dtype="bfloat16")
        adapted = dataclasses.replace(on(settings, sizes), model=model)
        train.run(adapted, place / f"lora_{name}")
        rows = runfiles.read_rows(place / f"lora_{name}" / "metrics.jsonl")
        found[name] = [[row["entropy"], row["grad_norm"]] for row in rows]
        if name == "split":
            state = prepare(adapted, place / f"lora_{name}").initial
            found["shards"] = [
                shape(state.params["blocks"]["mlp"][f"down_lora_{end}"]) for end in ("in", "out")
            ]
    return found


def whole_run(settings: Settings, place: pathlib.Path) -> dict:
    """A run, and its checkpoint on another mesh."""
    train.run(on(settings, (2, 2, 2)), place / "run")
    before, after = (
        prepare(on(settings, sizes), place / "run").initial for sizes in ((2, 2, 2), (1, 8, 1))
    )
    rows = runfiles.read_rows(place / "run" / "metrics.jsonl")
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return {
        "rows": [row["step"] for row in rows],
        "all_finite": all(value is not None for row in rows for value in row.values()),
        "same_parameters": all(bool((np.asarray(a) == np.asarray(b)).all()) for a, b in pairs),
        "shard_after": shape(after.params["embedding"]),
    }


def main(mesh: str, place: pathlib.Path) -> None:
    """Measures and writes found.json."""
    assert jax.device_count() == 8
    report_page.write_report = lambda workdir: workdir
    settings = pickle.loads((place / "settings").read_bytes())
    found = measure(settings, mesh, place)
    if mesh == "data2_fsdp2_tensor2":
        found |= {"lora": adapted_runs(settings, place), "run": whole_run(settings, place)}
    (place / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
