"""Is polarity asymmetric: who expands entropy, who contracts it, and how does that change over
training?

    python -m experiments.studies.asymmetry [--scale=full]

Unit polarity T against the probability of the sampled token and the entropy of its state, on the
policy's own answers; and the shares of tokens and of polarity mass by branch and by the sign of A,
at stages of training. The paper (arXiv 2605.11775) says that reinforcing frequent, likely tokens
contracts and that expansion needs unlikely samples or a stronger correction C. On the shipped
policy and on the base policy of the world `chains`. A seed is a batch of prompts and answers;
stages are those of one training run. Seen on two CPU cores: quick 6 seconds.
"""

import pathlib

import jax.numpy as jnp
import numpy as np

from experiments.studies.lab import bases, results, states
from experiments.studies.lab.agreement import interval, shown

NAME = "asymmetry"
SCALES = {
    "quick": dict(seeds=1, prompts=16, stages=(0,), policies=("tiny",)),
    "full": dict(seeds=5, prompts=32, stages=(0, 20, 40, 80), policies=("tiny", "chains")),
}
EDGES = {
    "p": (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 1.0),
    "H": (0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 1.5, np.inf),  # nats
}
DEAD_BAND = 1e-6


def measure(laboratory: states.Laboratory, seed: int, prompts: int) -> results.Arrays:
    """Every generated token's probability, entropy, T, C and A, [n] float32."""
    here = states.own_answers(laboratory, seed, prompts=prompts)
    mask, stats = np.asarray(here.trajectories.mask), laboratory.statistics(here)
    probability = jnp.exp(stats.logprob)
    correction = stats.unit_polarity + probability * (stats.entropy + stats.logprob)  # C = T + S
    arrays = {
        "p": probability,
        "H": stats.entropy,
        "T": stats.unit_polarity,
        "C": correction,
        "A": here.advantages,
    }
    return {name: np.asarray(values, np.float32)[mask] for name, values in arrays.items()}


def collect(place: pathlib.Path, scale: str) -> dict[tuple[str, int], list[results.Arrays]]:
    """(policy, stage) -> the tokens of each seed."""
    sizes, found = SCALES[scale], {}
    for name in sizes["policies"]:
        laboratory = None
        for stage in sizes["stages"]:
            files = [
                f"{name}_after{stage}_{sizes['prompts']}_{seed}" for seed in range(sizes["seeds"])
            ]
            if not all((place / "runs" / f"{file}.npz").exists() for file in files):
                if laboratory is None:
                    laboratory = states.Laboratory(
                        bases.load(name), parts=2, samples=16, max_new_tokens=24
                    )
                states.train(laboratory, stage, prompts=sizes["prompts"])

            def make(seed):
                return measure(laboratory, seed, sizes["prompts"])

            found[name, stage] = [
                results.stored(place, file, lambda s=seed: make(s))
                for seed, file in enumerate(files)
            ]
    return found


def shares(tokens: results.Arrays) -> dict[str, float]:
    """Shares of tokens and of mass, abs(A T), by sign of A and branch, among tokens with A != 0
    outside the dead band."""
    polarity = tokens["A"] * tokens["T"]
    acting = (tokens["A"] != 0) & (np.abs(tokens["T"]) > DEAD_BAND)
    out = {"acting": float(acting.mean())}
    for sign, named in ((1, "raised"), (-1, "lowered")):
        for branch, kind in ((1, "expanding"), (-1, "contracting")):
            chosen = acting & (np.sign(tokens["A"]) == sign) & (np.sign(polarity) == branch)
            out[f"tokens, {named} {kind}"] = float(chosen.sum() / max(acting.sum(), 1))
            out[f"mass, {named} {kind}"] = float(
                np.abs(polarity[chosen]).sum() / max(np.abs(polarity[acting]).sum(), 1e-12)
            )
    rare = tokens["p"] <= np.exp(-tokens["H"])
    out["T > 0 where p <= exp(-H)"] = float(
        (tokens["T"][rare & (np.abs(tokens["T"]) > DEAD_BAND)] > 0).mean()
    )
    common = ~rare & (np.abs(tokens["T"]) > DEAD_BAND)
    out["T > 0 where p > exp(-H)"] = float((tokens["T"][common] > 0).mean())
    return out


def binned(tokens: results.Arrays, of: str) -> list[dict]:
    """A row for each bin of the sampled token's probability ("p") or of its state's entropy ("H",
    nats)."""
    rows, size = [], np.abs(tokens["T"])
    for low, high in zip(EDGES[of][:-1], EDGES[of][1:], strict=True):
        chosen = (tokens[of] > low) & (tokens[of] <= high)
        if chosen.any():
            unit = tokens["T"][chosen]
            rows.append(
                {
                    f"{of} from": low,
                    f"{of} to": high,
                    "share of tokens": float(chosen.mean()),
                    "mean T": float(unit.mean()),
                    "share T > 0": float((unit > DEAD_BAND).mean()),
                    "share of abs(T)": float(size[chosen].sum() / size.sum()),
                }
            )
    return rows


def draw(place: pathlib.Path, found) -> None:
    """For each policy: T against p at the first stage, colored by H; the four shares of mass and
    of tokens over training."""
    policies = list(dict.fromkeys(name for name, _ in found))

    def panels(axes):
        for line, name in zip(axes, policies, strict=True):
            stages = [stage for policy, stage in found if policy == name]
            tokens = found[name, stages[0]][0]
            points = line[0].scatter(tokens["p"], tokens["T"], c=tokens["H"], s=3, cmap="viridis")
            line[0].figure.colorbar(points, ax=line[0]).ax.set_title("H, nats", fontsize=8)
            line[0].axhline(0, color="0.7", linewidth=0.8)
            line[0].set(
                xlabel="probability of the sampled token",
                ylabel="T, nats per unit step",
                title=f"{name}, before training, first batch",
            )
            for axis, kind in ((line[1], "mass"), (line[2], "tokens")):
                _shares_over_training(axis, [found[name, stage] for stage in stages], stages, kind)
                axis.set(title=name)
            line[1].legend(fontsize=7)

    results.figure(place / "asymmetry.png", panels, rows=len(policies), columns=3, size=(4.4, 3.4))


def _shares_over_training(
    axis, runs: list[list[results.Arrays]], stages: list[int], kind: str
) -> None:
    for who in (
        "raised expanding",
        "raised contracting",
        "lowered expanding",
        "lowered contracting",
    ):
        mean, low, high = np.array(
            [interval([shares(run)[f"{kind}, {who}"] for run in of_stage]) for of_stage in runs]
        ).T
        axis.errorbar(
            stages, mean, yerr=(mean - low, high - mean), marker="o", label=who, capsize=2
        )
    axis.set(
        xlabel="steps of training",
        ylabel={"mass": "share of polarity mass", "tokens": "share of tokens with A and T not 0"}[
            kind
        ],
        ylim=(0, 1),
    )


def main() -> None:
    """Makes, draws and judges."""
    asked = results.arguments(__doc__, NAME)
    found = collect(asked.place, asked.scale)
    table = [
        {"policy": name, "stage": stage, "seed": seed, **shares(run)}
        for (name, stage), runs in found.items()
        for seed, run in enumerate(runs)
    ]
    results.table(asked.place / "shares.csv", table)
    for of, file in (("p", "by_probability.csv"), ("H", "by_entropy.csv")):
        rows = [
            {"policy": name, "stage": stage, **row}
            for (name, stage), runs in found.items()
            for row in binned(_joined(runs), of)
        ]
        results.table(asked.place / file, rows)
    draw(asked.place, found)
    results.verdict(asked.place / "verdict.md", judge(found))


def _joined(runs: list[results.Arrays]) -> results.Arrays:
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def judge(found) -> list[str]:
    """A table: each policy and stage, mean [95 %] over seeds."""
    names = list(shares(next(iter(found.values()))[0]))
    lines = [
        "# Asymmetry",
        "",
        "| policy, steps | " + " | ".join(names) + " |",
        "|" + "---|" * (len(names) + 1),
    ]
    for (name, stage), runs in found.items():
        cells = [shown([shares(run)[figure] for run in runs]) for figure in names]
        lines.append(f"| {name}, {stage} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
