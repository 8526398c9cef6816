"""Measurements of eight devices beside one; `tests/learner/test_devices.py` runs this file.

That has to be a process with eight CPU devices. Shapes: B sequences, T completion slots.
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

from papo_jax import mesh_rules
from papo_jax.commands.train import train_policy
from papo_jax.config.default_settings import Settings
from papo_jax.learner.batches import Grades, Rollout, Trajectories, UpdateBatch
from papo_jax.learner.gradients import LossFunction, compute_gradients
from papo_jax.learner.learn import take_rows
from papo_jax.learner.parameter_polarity import compute_unit_parameter_polarity
from papo_jax.learner.weighted_advantages import compute_weighted_advantages
from papo_jax.methods import phase, presets
from papo_jax.methods.hyperparameters import bound_hyperparameters, unbind_function
from papo_jax.models.param_axes import LOGICAL_AXES
from papo_jax.report import report_page
from papo_jax.telemetry import runfiles
from papo_jax.training.training_run import TrainingRun, prepare_run
from tests.support.rows import make_grades
from tests.support.seeds import make_key, make_rng

MESHES = {
    "data8": (8, 1, 1),
    "fsdp8": (1, 8, 1),
    "data4_tensor2": (4, 1, 2),
    "data2_fsdp2_tensor2": (2, 2, 2),
}


def distinct_objectives() -> list[str]:
    """A preset for every objective with its numbers.

    What presets of one objective differ in is done before an update. DAPO is what everything else
    here is measured with.
    """
    found = {}
    for name in presets.PRESETS:
        objective = presets.get(name).objective
        numbers = tuple(sorted(bound_hyperparameters(objective.loss).items()))
        found.setdefault((unbind_function(objective.loss), objective.reduction, numbers), name)
    return [name for name in found.values() if name != "dapo"]


def distinct_weights() -> list[str]:
    """A preset for every way from rewards to weights.

    The signal of parameter polarity is measured by itself.
    """
    found = {}
    for name in presets.PRESETS:
        method = presets.get(name)
        rules = (
            method.advantage_rule,
            method.token_advantage_rule,
            method.dropped_token_rule,
            method.coefficient_rule,
        )
        functions = tuple(unbind_function(rule) if rule else None for rule in rules)
        found.setdefault((functions, method.signal, method.hyperparameter("lam") > 0), name)
    return list(found.values())


# Each on one mesh: in the default set one that looks across tokens and draws, the others dealt out
# in turn.
REST = ("data8", "fsdp8", "data2_fsdp2_tensor2")


def deal_out(names: list[str], quick: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Mesh -> the presets that are measured on it."""
    others = [name for name in names if name not in quick]
    return {"data4_tensor2": quick} | {
        mesh: tuple(others[number :: len(REST)]) for number, mesh in enumerate(REST)
    }


PLACED = deal_out(distinct_objectives(), ("clip_cov",))
WEIGHED = deal_out(distinct_weights(), ("papo_random_in_mass",))

# Entropy is low and there is a bonus, so that what waits for that acts.
LOW = phase.init()._replace(
    ema=np.float32(1.0), entropy=np.float32(0.1), adaptive_coefficient=np.float32(3e-3)
)


def on_mesh(settings: Settings, sizes: tuple[int, int, int]) -> Settings:
    """The settings on a mesh."""
    mesh = dataclasses.replace(settings.mesh, **dict(zip(mesh_rules.AXES, sizes, strict=True)))
    return dataclasses.replace(settings, mesh=mesh)


def gradient_program(prepared: TrainingRun, method: str = "dapo"):
    """(params, batch) -> (gradient, sums) of a quarter of the rows, as an update sees them."""
    params = jax.tree.map(lambda leaf: leaf.sharding, prepared.initial.params)
    scorer = dataclasses.replace(prepared.scorer, microbatch=128)
    loss = LossFunction(presets.get(method), 8, LOW)

    def compute(params, batch):
        return compute_gradients(params, batch, make_key(6), scorer, loss=loss)

    rows, whole = (
        mesh_rules.batch_sharding(prepared.mesh),
        mesh_rules.replicated_sharding(prepared.mesh),
    )
    return jax.jit(compute, in_shardings=(params, rows), out_shardings=(params, whole))


def parameter_polarity_program(prepared: TrainingRun):
    """(params, trajectories) -> polarity of unit advantages under plain gradient steps."""
    params = jax.tree.map(lambda leaf: leaf.sharding, prepared.initial.params)
    scorer = dataclasses.replace(prepared.scorer, microbatch=512)

    def compute(params, rows):
        return compute_unit_parameter_polarity(params, None, rows, scorer)

    rows = mesh_rules.batch_sharding(prepared.mesh)
    return jax.jit(compute, in_shardings=(params, rows), out_shardings=rows)


def take_program(prepared: TrainingRun):
    """(batch, rows) -> batch of those rows."""
    rows, whole = (
        mesh_rules.batch_sharding(prepared.mesh),
        mesh_rules.replicated_sharding(prepared.mesh),
    )
    return jax.jit(
        functools.partial(take_rows, mesh=prepared.mesh),
        in_shardings=(rows, whole),
        out_shardings=rows,
    )


def weights_apart(prepared: TrainingRun, name: str, rollout: Rollout) -> dict[str, float]:
    """What a preset makes of a rollout's rewards, on one device and with its rows over the mesh.

    The largest difference of each field; of booleans 0 or 1.
    """
    rng = make_rng(2)
    rewards = (rng.random((32, 32)) < rng.random((32, 1))).astype(np.float32)
    unit = rng.normal(size=rollout.stats.logprob.shape).astype(np.float32)

    def weigh(rollout: Rollout, grades: Grades, trajectory, key, unit):
        return compute_weighted_advantages(
            rollout,
            grades,
            trajectory,
            key=key,
            method=presets.get(name),
            max_new_tokens=8,
            unit_parameter_polarity=unit,
        )[0]

    arguments = (rollout, make_grades(rewards), LOW, make_key(7), unit)
    rows, whole = (
        mesh_rules.batch_sharding(prepared.mesh),
        mesh_rules.replicated_sharding(prepared.mesh),
    )
    rollout_sharding = Rollout(trajectories=rows, stats=rows, entropy=whole)
    placed = jax.jit(weigh, in_shardings=(rollout_sharding, rows, whole, whole, rows))
    one, many = jax.jit(weigh)(*arguments), placed(*arguments)
    assert len(many.weights.sharding.device_set) == 8
    fields = {
        field: apart(getattr(many, field), getattr(one, field))
        for field in ("advantages", "weights", "polarity", "loss_weights")
    }
    return fields | {
        "loss_mask": float((np.asarray(many.loss_mask) != np.asarray(one.loss_mask)).any())
    }


def apart(first, second) -> float:
    """The largest difference, as a share of the largest entry of all leaves."""
    first, second = (jax.tree.leaves(jax.device_get(tree)) for tree in (first, second))
    largest = max(float(np.abs(leaf).max()) for leaf in second)
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True)) / largest


def make_batch(trajectories: Trajectories, stats) -> UpdateBatch:
    """A rollout with drawn advantages and ratios, the same in every process."""
    rng = make_rng(1)
    advantages = rng.choice([-1.0, 0.5, 1.0], stats.logprob.shape).astype(np.float32)
    log_ratio = rng.choice([0.0, 0.1, -0.1, 0.6, -0.6], stats.logprob.shape).astype(np.float32)
    return UpdateBatch(
        trajectories=trajectories,
        old_logprob=stats.logprob - log_ratio,
        reference_logprob=stats.logprob,
        weighted_advantages=advantages,
        loss_mask=trajectories.action,
        polarity=advantages * stats.unit_polarity,
        sequences=np.arange(len(log_ratio), dtype=np.int32),
        accuracy=rng.random(len(log_ratio)).astype(np.float32),
    )


def measure(settings: Settings, mesh: str, place: pathlib.Path) -> dict:
    """One step's parts on one device and on the mesh."""
    one = prepare_run(on_mesh(settings, (1, 1, 1)), place / "one")
    many = prepare_run(on_mesh(settings, MESHES[mesh]), place / mesh)
    params, state, key = jax.device_get(one.initial.params), many.initial, make_key(5)
    prompts = one.pad_prompts(range(32))
    completions, trajectories = jax.device_get(one.programs.sample(params, prompts, key))
    stats = jax.device_get(one.programs.score(params, trajectories))
    batch, take = make_batch(trajectories, stats), take_program(many)
    quarter = jax.tree.map(lambda leaf: leaf[::4], batch)
    quarter_there = take(batch, jnp.arange(0, 1024, 4))

    def hide(tree):
        return jax.tree.map(
            lambda leaf: np.where(trajectories.action, leaf, 0), jax.device_get(tree)
        )

    # Gradients of DAPO and of other methods, and weights.
    expected, expected_sums = jax.device_get(gradient_program(one)(params, quarter))
    got, sums = gradient_program(many)(state.params, quarter_there)
    methods = {}
    for name in PLACED[mesh]:
        gradient, of_one = gradient_program(one, name)(params, quarter)
        gradient_there, of_many = gradient_program(many, name)(state.params, quarter_there)
        loss_apart = abs(float(of_many["loss"]) - float(of_one["loss"]))
        methods[name] = [apart(gradient_there, gradient), loss_apart]
    rollout = Rollout(trajectories=trajectories, stats=stats, entropy=np.float32(0.9))
    weighed = {name: weights_apart(many, name, rollout) for name in WEIGHED[mesh]}

    # Changes of entropy, and draws.
    rng = make_rng(0)
    moved = jax.tree.map(
        lambda leaf: leaf + np.float32(1e-3) * rng.normal(size=leaf.shape).astype(np.float32),
        params,
    )
    placed = jax.device_put(moved, mesh_rules.param_shardings(many.mesh, moved, LOGICAL_AXES))
    change = hide(one.programs.measure_entropy_change(params, moved, trajectories))
    there = hide(many.programs.measure_entropy_change(state.params, placed, trajectories))
    drawn, _ = many.programs.sample(state.params, prompts, key)
    return {
        "methods": methods,
        "weighed": weighed,
        "gradient_apart": apart(got, expected),
        "loss_apart": float(abs(sums["loss"] / expected_sums["loss"] - 1)),
        "statistics_apart": apart(
            hide(many.programs.score(state.params, trajectories)), hide(stats)
        ),
        "parameter_polarity_apart": apart(
            parameter_polarity_program(many)(state.params, trajectories),
            parameter_polarity_program(one)(params, trajectories),
        ),
        "directional_apart": apart(there.directional, change.directional),
        "realized_apart": float(np.abs(there.realized - change.realized).max()),
        "same_rows": float((np.asarray(drawn.tokens) == completions.tokens).all(axis=1).mean()),
        "shards": {
            "action": shape(take(batch, jnp.arange(1024)).trajectories.action),
            "evaluated": shape(many.evaluator.program(state.params, prompts, key).action),
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
        adapted = dataclasses.replace(on_mesh(settings, sizes), model=model)
        train_policy(adapted, place / f"lora_{name}")
        rows = runfiles.read_rows(place / f"lora_{name}" / "metrics.jsonl")
        found[name] = [[row["entropy"], row["grad_norm"]] for row in rows]
        if name == "split":
            state = prepare_run(adapted, place / f"lora_{name}").initial
            found["shards"] = [
                shape(state.params["blocks"]["mlp"][f"down_lora_{end}"]) for end in ("in", "out")
            ]
    return found


def whole_run(settings: Settings, place: pathlib.Path) -> dict:
    """A run, and its checkpoint on another mesh."""
    train_policy(on_mesh(settings, (2, 2, 2)), place / "run")
    before, after = (
        prepare_run(on_mesh(settings, sizes), place / "run").initial
        for sizes in ((2, 2, 2), (1, 8, 1))
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
