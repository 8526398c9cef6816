"""Draws runs over one another: reward, entropy, and realized against predicted change of entropy.

python -m experiments.overlay docs/default_run.png runs/default [runs/grpo ...]
"""

import argparse
import json
import pathlib

from matplotlib.figure import Figure

from papo_jax.report.series import correlations, running_mean, series
from papo_jax.telemetry import runfiles


def draw(output: pathlib.Path, workdirs: list[pathlib.Path]) -> None:
    """Writes one picture with three panels, a color a run."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    reward, entropy, change = figure.subplots(1, 3)
    for number, workdir in enumerate(workdirs):
        rows, color = runfiles.read_rows(workdir / "metrics.jsonl"), f"C{number}"
        steps, values = series(rows, "reward/mean")
        smooth, window = running_mean(values)
        reward.plot(steps, values, color=color, alpha=0.25)
        reward.plot(steps[-len(smooth) :], smooth, color=color, label=label(workdir))
        entropy.plot(*series(rows, "entropy"), color=color)
        predicted, realized = (
            series(rows, "entropy_change/directional")[1],
            series(rows, "entropy_change/realized")[1],
        )
        pearson, _ = correlations(predicted, realized)
        change.plot(
            predicted,
            realized,
            "o",
            color=color,
            alpha=0.6,
            markersize=4,
            label=f"Pearson {pearson:.2f}",
        )
    reward.set(title="reward on the training problems", xlabel="step", ylim=(0, 1))
    entropy.set(title="entropy, nats", xlabel="step", ylim=(0, None))
    change.axline((0, 0), slope=1, color="gray", linewidth=0.8)
    change.set(
        title="change of entropy by a step, nats",
        xlabel="predicted by the directional derivative",
        ylabel="realized",
    )
    reward.legend(frameon=False)
    change.legend(frameon=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110)


def label(workdir: pathlib.Path) -> str:
    """The run's method, and avg@k on the panel before and after where it was evaluated."""
    name = json.loads((workdir / "config.json").read_text())["method"]["name"]
    path = workdir / "evaluation.json"
    if not path.exists():
        return name
    document = json.loads(path.read_text())
    first, last = (document["entries"][end]["avg_at_k"]["value"] for end in (0, -1))
    return f"{name}: avg@{document['samples']} {first:.2f} to {last:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("workdirs", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    draw(arguments.output, arguments.workdirs)
