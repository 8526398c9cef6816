"""Is polarity asymmetric: who expands entropy, who contracts it, and how does that change over training?

    python -m experiments.studies.asymmetry [--scale=full]

Unit polarity T against the probability of the sampled token and the entropy of its state, on the policy's own answers; and the
shares of tokens and of polarity mass by branch and by the sign of A, at stages of training. The paper (arXiv 2605.11775) says
that reinforcing frequent, likely tokens contracts and that expansion needs unlikely samples or a stronger correction C.
On the shipped policy and on the base policy of the world `chains`. A seed is a batch of prompts and answers; stages are those of
one training run. Seen on two CPU cores: quick 6 seconds.
"""

import pathlib

import jax.numpy as jnp
import numpy as np

from experiments.studies import bases, results, states
from experiments.studies.agreement import interval, shown
from papo_jax import models

NAME = "asymmetry"
SCALES = {
    "quick": dict(seeds=1, prompts=16, stages=(0,), policies=("tiny",)),
    "full": dict(seeds=5, prompts=32, stages=(0, 20, 40, 80), policies=("tiny", "chains")),
}
EDGES = np.array([0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 1.0])  # of probability
DEAD_BAND = 1e-6


def measure(laboratory: states.Laboratory, seed: int, prompts: int) -> results.Arrays:
    """Every generated token's probability, entropy, T, C and A, [n] float32."""
    here = states.own_answers(laboratory, seed, prompts=prompts)
    mask, stats = np.asarray(here.trajectories.mask), laboratory.statistics(here)
    probability = jnp.exp(stats.logprob)
    correction = stats.unit_polarity + probability * (stats.entropy + stats.logprob)  # C = T + S
    arrays = {"p": probability, "H": stats.entropy, "T": stats.unit_polarity, "C": correction, "A": here.advantages}
    return {name: np.asarray(values, np.float32)[mask] for name, values in arrays.items()}


def collect(place: pathlib.Path, scale: str) -> dict[tuple[str, int], list[results.Arrays]]:
    """(policy, stage) -> the tokens of each seed."""
    sizes, found = SCALES[scale], {}
    for name in sizes["policies"]:
        laboratory = None
        for stage in sizes["stages"]:
            files = [f"{name}_after{stage}_{sizes['prompts']}_{seed}" for seed in range(sizes["seeds"])]
            if not all((place / "runs" / f"{file}.npz").exists() for file in files):
                if laboratory is None:
                    policy = models.load("tiny") if name == "tiny" else bases.load(name)
                    laboratory = states.Laboratory(policy, parts=2, samples=16, max_new_tokens=24)
                states.train(laboratory, stage, prompts=sizes["prompts"])
            make = lambda seed: measure(laboratory, seed, sizes["prompts"])  # noqa: E731
            found[name, stage] = [results.stored(place, file, lambda s=seed: make(s)) for seed, file in enumerate(files)]
    return found


def shares(tokens: results.Arrays) -> dict[str, float]:
    """Shares of tokens and of mass, abs(A T), by sign of A and branch, among tokens with A != 0 outside the dead band."""
    polarity = tokens["A"] * tokens["T"]
    acting = (tokens["A"] != 0) & (np.abs(tokens["T"]) > DEAD_BAND)
    out = {"acting": float(acting.mean())}
    for sign, named in ((1, "raised"), (-1, "lowered")):
        for branch, kind in ((1, "expanding"), (-1, "contracting")):
            chosen = acting & (np.sign(tokens["A"]) == sign) & (np.sign(polarity) == branch)
            out[f"tokens, {named} {kind}"] = float(chosen.sum() / max(acting.sum(), 1))
            out[f"mass, {named} {kind}"] = float(np.abs(polarity[chosen]).sum() / max(np.abs(polarity[acting]).sum(), 1e-12))
    rare = tokens["p"] <= np.exp(-tokens["H"])
    out["T > 0 where p <= exp(-H)"] = float((tokens["T"][rare & (np.abs(tokens["T"]) > DEAD_BAND)] > 0).mean())
    common = ~rare & (np.abs(tokens["T"]) > DEAD_BAND)
    out["T > 0 where p > exp(-H)"] = float((tokens["T"][common] > 0).mean())
    return out


def by_probability(tokens: results.Arrays) -> list[dict]:
    """A row for each bin of the sampled token's probability."""
    rows = []
    for low, high in zip(EDGES[:-1], EDGES[1:], strict=True):
        chosen = (tokens["p"] > low) & (tokens["p"] <= high)
        if chosen.any():
            unit = tokens["T"][chosen]
            rows.append({"p from": float(low), "p to": float(high), "share of tokens": float(chosen.mean()), "mean T": float(unit.mean()),
                         "share T > 0": float((unit > DEAD_BAND).mean()), "share of abs(T)": float(np.abs(unit).sum() / np.abs(tokens["T"]).sum())})  # fmt: skip
    return rows


def draw(place: pathlib.Path, found) -> None:
    """For each policy: T against p at the first stage, coloured by H; the four shares of polarity mass over training."""
    policies = list(dict.fromkeys(name for name, _ in found))

    def panels(axes):
        for line, name in zip(axes, policies, strict=True):
            stages = [stage for policy, stage in found if policy == name]
            tokens = found[name, stages[0]][0]
            points = line[0].scatter(tokens["p"], tokens["T"], c=tokens["H"], s=3, cmap="viridis")
            line[0].figure.colorbar(points, ax=line[0], label="H, nats")
            line[0].axhline(0, color="0.7", linewidth=0.8)
            line[0].set(xlabel="probability of the sampled token", ylabel="T, nats per unit step", title=f"{name}, before training, first batch")
            for kind in ("raised expanding", "raised contracting", "lowered expanding", "lowered contracting"):
                bands = [interval([shares(run)[f"mass, {kind}"] for run in found[name, stage]]) for stage in stages]
                line[1].errorbar(stages, [b[0] for b in bands], yerr=[b[0] - b[1] for b in bands], marker="o", label=kind, capsize=2)
            line[1].set(xlabel="steps of training", ylabel="share of polarity mass", title=name, ylim=(0, 1))
            line[1].legend(fontsize=7)

    results.figure(place / "asymmetry.png", panels, rows=len(policies), columns=2, size=(5.2, 3.6))


def main() -> None:
    """Makes, draws and judges."""
    asked = results.arguments(__doc__, NAME)
    found = collect(asked.place, asked.scale)
    table = [{"policy": name, "stage": stage, "seed": seed, **shares(run)} for (name, stage), runs in found.items() for seed, run in enumerate(runs)]
    results.table(asked.place / "shares.csv", table)
    binned = [{"policy": name, "stage": stage, **row} for (name, stage), runs in found.items() for row in by_probability(_joined(runs))]
    results.table(asked.place / "by_probability.csv", binned)
    draw(asked.place, found)
    results.verdict(asked.place / "verdict.md", judge(found))


def _joined(runs: list[results.Arrays]) -> results.Arrays:
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def judge(found) -> list[str]:
    """A table: each policy and stage, mean [95 %] over seeds."""
    names = list(shares(next(iter(found.values()))[0]))
    lines = ["# Asymmetry", "", "| policy, steps | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
    for (name, stage), runs in found.items():
        cells = [shown([shares(run)[figure] for run in runs]) for figure in names]
        lines.append(f"| {name}, {stage} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
