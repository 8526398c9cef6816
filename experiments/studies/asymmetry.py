"""Asymmetry of polarity: which tokens expand entropy and which contract it, over training.

    python -m experiments.studies.asymmetry [--scale=full]

Unit polarity T against the probability of the sampled token and the entropy of its state, on the
policy's own completions; and the shares of tokens and of polarity mass by branch and by the sign of
A, at stages of training. The paper (arXiv 2605.11775) says that reinforcing frequent, likely tokens
contracts and that expansion needs unlikely samples or a stronger correction C. On the shipped
policy and on the base policy of the toy task `chains`. A seed is a batch of prompts and
completions; stages are those of one training run. Seen on two CPU cores: quick 6 seconds.
"""

import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.studies.lab import base_policies, study_output
from experiments.studies.lab.policy_probe import PolicyProbe
from experiments.studies.lab.probe_batches import sample_arithmetic, train_probe
from experiments.studies.lab.seed_intervals import confidence_interval, format_interval
from experiments.studies.lab.study_output import Arrays

NAME = "asymmetry"
EDGES = {
    "p": (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 1.0),
    "H": (0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 1.5, np.inf),  # nats
}
DEAD_BAND = 1e-6
SIGNS, BRANCHES = {"raised": 1, "lowered": -1}, {"expanding": 1, "contracting": -1}
SHARE_LABELS = {"mass": "share of polarity mass", "tokens": "share of tokens with A and T not 0"}

TokensByStage = dict[tuple[str, int], list[Arrays]]  # (policy, stage) -> the tokens of each seed


class Sizes(NamedTuple):
    """The amount of sampling: batches, prompts of each, stages (steps of training), policies."""

    seeds: int
    prompts: int
    stages: tuple[int, ...]
    policies: tuple[str, ...]


SCALES = {
    "quick": Sizes(seeds=1, prompts=16, stages=(0,), policies=("tiny",)),
    "full": Sizes(seeds=5, prompts=32, stages=(0, 20, 40, 80), policies=("tiny", "chains")),
}


def measure_tokens(probe: PolicyProbe, seed: int, prompts: int) -> Arrays:
    """Measures every generated token's probability, entropy, T, C and A, [n] float32."""
    states = sample_arithmetic(probe, seed, prompts=prompts)
    mask, stats = np.asarray(states.trajectories.action), probe.token_stats(states)
    probability = jnp.exp(stats.logprob)
    correction = stats.unit_polarity + probability * (stats.entropy + stats.logprob)  # C = T + S
    arrays = {
        "p": probability,
        "H": stats.entropy,
        "T": stats.unit_polarity,
        "C": correction,
        "A": states.advantages,
    }
    return {name: np.asarray(values, np.float32)[mask] for name, values in arrays.items()}


def collect_tokens(directory: pathlib.Path, scale: str) -> TokensByStage:
    """Makes the runs that are not stored yet and returns the tokens of all."""
    sizes = SCALES[scale]
    return {
        (policy, stage): tokens
        for policy in sizes.policies
        for stage, tokens in _collect_stages(directory, policy, sizes)
    }


def _collect_stages(
    directory: pathlib.Path, policy: str, sizes: Sizes
) -> Iterator[tuple[int, list[Arrays]]]:
    """Yields (stage, the tokens of each seed), in the order of one training run."""

    @functools.cache
    def load_probe() -> PolicyProbe:
        loaded = base_policies.load_policy(policy)
        return PolicyProbe(loaded, parts=2, samples=16, max_new_tokens=24)

    for stage in sizes.stages:
        names = [f"{policy}_after{stage}_{sizes.prompts}_{seed}" for seed in range(sizes.seeds)]
        if not all(study_output.run_path(directory, name).exists() for name in names):
            # Train to this stage, from the one that was measured before.
            train_probe(load_probe(), stage, prompts=sizes.prompts)
        tokens = [
            study_output.load_or_make(
                directory, name, lambda s=seed: measure_tokens(load_probe(), s, sizes.prompts)
            )
            for seed, name in enumerate(names)
        ]
        yield stage, tokens


def polarity_shares(tokens: Arrays) -> dict[str, float]:
    """Computes shares of tokens and of mass, abs(A T), by sign of A and branch.

    Among tokens with A != 0 outside the dead band, whose share is "acting"; and the shares of
    T > 0 outside the dead band among tokens that are rarer or likelier than exp(-H).
    """
    polarity = tokens["A"] * tokens["T"]
    outside = np.abs(tokens["T"]) > DEAD_BAND
    acting = (tokens["A"] != 0) & outside
    tokens_in_all = max(acting.sum(), 1)
    mass_in_all = max(np.abs(polarity[acting]).sum(), 1e-12)

    shares = {"acting": float(acting.mean())}
    for sign_name, sign in SIGNS.items():
        for branch_name, branch in BRANCHES.items():
            chosen = acting & (np.sign(tokens["A"]) == sign) & (np.sign(polarity) == branch)
            mass = np.abs(polarity[chosen]).sum()
            shares[f"tokens, {sign_name} {branch_name}"] = float(chosen.sum() / tokens_in_all)
            shares[f"mass, {sign_name} {branch_name}"] = float(mass / mass_in_all)

    rare = tokens["p"] <= np.exp(-tokens["H"])
    shares["T > 0 where p <= exp(-H)"] = float((tokens["T"][rare & outside] > 0).mean())
    shares["T > 0 where p > exp(-H)"] = float((tokens["T"][~rare & outside] > 0).mean())
    return shares


def bin_tokens(tokens: Arrays, column: str) -> list[dict]:
    """Bins tokens by probability or by entropy.

    Args:
      tokens: of `measure_tokens`.
      column: "p", the sampled token's probability, or "H", its state's entropy in nats.

    Returns:
      A row for each bin that is not empty.
    """
    rows, size = [], np.abs(tokens["T"])
    for low, high in zip(EDGES[column][:-1], EDGES[column][1:], strict=True):
        chosen = (tokens[column] > low) & (tokens[column] <= high)
        if chosen.any():
            unit = tokens["T"][chosen]
            rows.append(
                {
                    f"{column} from": low,
                    f"{column} to": high,
                    "share of tokens": float(chosen.mean()),
                    "mean T": float(unit.mean()),
                    "share T > 0": float((unit > DEAD_BAND).mean()),
                    "share of abs(T)": float(size[chosen].sum() / size.sum()),
                }
            )
    return rows


def plot_asymmetry(directory: pathlib.Path, tokens: TokensByStage) -> None:
    """Plots for each policy T against p at the first stage, and the shares over training."""
    policies = list(dict.fromkeys(policy for policy, _ in tokens))

    def draw_axes(axes):
        for row, policy in zip(axes, policies, strict=True):
            by_stage = {stage: runs for (name, stage), runs in tokens.items() if name == policy}
            first = next(iter(by_stage.values()))[0]
            points = row[0].scatter(first["p"], first["T"], c=first["H"], s=3, cmap="viridis")
            row[0].figure.colorbar(points, ax=row[0]).ax.set_title("H, nats", fontsize=8)
            row[0].axhline(0, color="0.7", linewidth=0.8)
            row[0].set(
                xlabel="probability of the sampled token",
                ylabel="T, nats per unit step",
                title=f"{policy}, before training, first batch",
            )

            for axis, kind in ((row[1], "mass"), (row[2], "tokens")):
                _plot_shares(axis, by_stage, kind)
                axis.set(title=policy)
            row[1].legend(fontsize=7)

    study_output.write_figure(
        directory / "asymmetry.png", draw_axes, rows=len(policies), columns=3, size=(4.4, 3.4)
    )


def _plot_shares(axis, by_stage: dict[int, list[Arrays]], kind: str) -> None:
    """Plots the four shares over training, with 95 % over seeds."""
    for branch in [f"{sign} {branch}" for sign in SIGNS for branch in BRANCHES]:
        by_seed = [
            [polarity_shares(run)[f"{kind}, {branch}"] for run in runs]
            for runs in by_stage.values()
        ]
        mean, low, high = np.array([confidence_interval(values) for values in by_seed]).T
        error = (mean - low, high - mean)
        axis.errorbar(list(by_stage), mean, yerr=error, marker="o", label=branch, capsize=2)
    axis.set(xlabel="steps of training", ylabel=SHARE_LABELS[kind], ylim=(0, 1))


def main() -> None:
    """Makes the runs and writes tables, figure and verdict."""
    arguments = study_output.parse_arguments(__doc__, NAME)
    directory = arguments.directory
    tokens = collect_tokens(directory, arguments.scale)

    rows = [
        {"policy": policy, "stage": stage, "seed": seed, **polarity_shares(run)}
        for (policy, stage), runs in tokens.items()
        for seed, run in enumerate(runs)
    ]
    study_output.write_table(directory / "shares.csv", rows)
    for column, file in (("p", "by_probability.csv"), ("H", "by_entropy.csv")):
        rows = [
            {"policy": policy, "stage": stage, **row}
            for (policy, stage), runs in tokens.items()
            for row in bin_tokens(_concatenate_runs(runs), column)
        ]
        study_output.write_table(directory / file, rows)

    plot_asymmetry(directory, tokens)
    study_output.write_verdict(directory / "verdict.md", verdict_lines(tokens))


def _concatenate_runs(runs: list[Arrays]) -> Arrays:
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def verdict_lines(tokens: TokensByStage) -> list[str]:
    """Writes a table: each policy and stage, mean [95 %] over seeds."""
    names = list(polarity_shares(next(iter(tokens.values()))[0]))
    lines = [
        "# Asymmetry",
        "",
        "| policy, steps | " + " | ".join(names) + " |",
        "|" + "---|" * (len(names) + 1),
    ]
    for (policy, stage), runs in tokens.items():
        cells = [format_interval([polarity_shares(run)[name] for run in runs]) for name in names]
        lines.append(f"| {policy}, {stage} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
