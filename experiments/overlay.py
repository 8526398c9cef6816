"""Overlay of runs: reward, entropy, and realized against predicted change of entropy.

python -m experiments.overlay docs/default_run.png runs/default [runs/grpo ...]
"""

import argparse
import pathlib

from matplotlib.figure import Figure

from papo_jax.json_files import look_up
from papo_jax.report.run_data import RunData, load_run_data
from papo_jax.report.series import metric_series, pearson_and_spearman, running_mean


def draw_overlay(output: pathlib.Path, workdirs: list[pathlib.Path]) -> None:
    """Writes one picture with three charts, a color a run."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    reward, entropy, change = figure.subplots(1, 3)
    for number, workdir in enumerate(workdirs):
        run, color = load_run_data(workdir), f"C{number}"

        # Reward: each step faint, and a running mean.
        steps, values = metric_series(run.rows, "reward/mean")
        smooth, _ = running_mean(values)
        reward.plot(steps, values, color=color, alpha=0.25)
        reward.plot(steps, smooth, color=color, label=label_run(run))

        entropy.plot(*metric_series(run.rows, "entropy"), color=color)

        # Change of entropy: a point a step.
        predicted = metric_series(run.rows, "entropy_change/directional")[1]
        realized = metric_series(run.rows, "entropy_change/realized")[1]
        pearson, _ = pearson_and_spearman(predicted, realized)
        points = {"color": color, "alpha": 0.6, "markersize": 4}
        change.plot(predicted, realized, "o", label=f"Pearson {pearson:.2f}", **points)

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


def label_run(run: RunData) -> str:
    """Returns the run's method, and avg@k before and after training where it was evaluated."""
    method = look_up(run.config, "method", "name") or "unknown method"
    figures = [entry.scores.figures for entry in run.evaluation.entries]
    average = f"avg@{run.evaluation.sampling.samples}"
    if not figures or average not in figures[0] or average not in figures[-1]:
        return method
    return (
        f"{method}: {average} {figures[0][average].value:.2f} to {figures[-1][average].value:.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("workdirs", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    draw_overlay(arguments.output, arguments.workdirs)
