"""The charts of a run's report, from the rows of its metrics file: which metrics, and what up and
down mean.

Steps count optimizer steps; entropy is in nats per token, time in seconds, lengths in tokens.
"""

from papo_jax.report.plots import Chart, Line, breakdown, curves, durations, scatter
from papo_jax.report.svg import INK


def learning(rows: list[dict]) -> list[Chart]:
    """What the policy achieves: reward, how its groups split, and how long it writes."""
    return [
        curves(
            rows,
            "Reward",
            "Up is better. Faint: each step; strong: a running mean.",
            "mean reward",
            [Line("reward/mean", "reward", smooth=True)],
        ),
        curves(
            rows,
            "Groups that teach nothing",
            "Shares of prompts whose samples all agree. High all wrong: too "
            "hard; high all right: too easy; what is left over carries the signal.",
            "share of groups",
            [
                Line("reward/all_right", "all right", smooth=True),
                Line("reward/all_wrong", "all wrong", INK.orange, "--", smooth=True),
            ],
            limits=(0, 1),
        ),
        curves(
            rows,
            "Length",
            "Tokens a completion, neither good nor bad by itself; a climb towards the limit shows up as truncation.",
            "tokens",
            [Line("length/mean", "length", smooth=True)],
        ),
        curves(
            rows,
            "Truncated completions",
            "Share cut at the token limit. Down is better: a cut answer is judged without its end.",
            "share",
            [Line("length/truncated", "truncated", INK.orange)],
            limits=(0, None),
        ),
    ]


def steering(rows: list[dict]) -> list[Chart]:
    """What entropy does, and what the method does about it."""
    return [
        curves(
            rows,
            "Entropy",
            "Exact entropy of the policy's next token. Falling towards zero: exploration is "
            "lost; climbing without end: the policy dissolves.",
            "nats per token",
            [Line("entropy", "this step"), Line("entropy/ema", "moving average", INK.orange, "--")],
            limits=(0, None),
        ),
        curves(
            rows,
            "Phase signal",
            "Above zero the method favors expanding updates, below zero contracting ones.",
            "phase, -1 to 1",
            [Line("phase", "phase", INK.purple)],
            zero=True,
        ),
        curves(
            rows,
            "Expanding share of tokens",
            "Share of tokens with positive polarity. Up: more of the batch's tokens push entropy up, however little.",
            "share",
            [Line("polarity/positive_share", "expanding")],
            limits=(0, 1),
        ),
        curves(
            rows,
            "Mass of the two branches",
            "Absolute polarity by branch, averaged over all tokens. Where the expanding line is on top, the batch pushes entropy up on balance.",
            "absolute polarity",
            [
                Line("polarity/positive_mass", "expanding", smooth=True),
                Line("polarity/negative_mass", "contracting", INK.orange, "--", smooth=True),
            ],
            magnitude=True,
        ),
        curves(
            rows,
            "Token weights",
            "The factor put on the advantage. All three at one: the method does not act.",
            "weight",
            [
                Line("weight/max", "largest", INK.blue, ":"),
                Line("weight/mean", "mean"),
                Line("weight/min", "smallest", INK.orange, "--"),
            ],
        ),
    ]


def prediction(rows: list[dict]) -> list[Chart]:
    """Whether the predicted change of entropy is the one that the update brought, on the same
    states."""
    realized, directional = "entropy_change/realized", "entropy_change/directional"
    return [
        scatter(
            rows,
            "entropy_change/polarity",
            "By polarity",
            "A point a diagnosed step. Upper right and lower left: the sign was right. "
            "The scales differ, so only sign and order count.",
            diagonal=False,
        ),
        scatter(
            rows,
            directional,
            "By derivative",
            "A point a diagnosed step. On the dashed line "
            "the first-order prediction is exact; off it the step was too large for first order.",
            diagonal=True,
        ),
        curves(
            rows,
            "Change of entropy, step by step",
            "Above zero the update expanded entropy. A gap between the lines is what first order does not see.",
            "nats per token",
            [
                Line(realized, "realized"),
                Line(directional, "predicted by the derivative", INK.orange, "--"),
            ],
            zero=True,
            wide=True,
        ),
        breakdown(rows),
    ]


def mechanics(rows: list[dict]) -> list[Chart]:
    """Whether the optimization is sound, and where the time goes."""
    return [
        curves(
            rows,
            "Clipped tokens",
            "Share of tokens with an advantage but no gradient. Near zero: steps are small; a "
            "high share wastes samples.",
            "share",
            [Line("clip/fraction", "clipped", smooth=True)],
            limits=(0, None),
        ),
        curves(
            rows,
            "Gradient norm",
            "Before clipping. Spikes precede trouble; zero means nothing was learned from the step.",
            "norm",
            [Line("grad_norm", "norm", smooth=True)],
        ),
        curves(
            rows,
            "Sampler against trainer",
            "Largest gap between the two log-probabilities of a token. It "
            "should stay at rounding error; growth means that the two models differ.",
            "nats",
            [Line("logprob_gap/max", "largest gap", INK.orange)],
        ),
        curves(
            rows,
            "KL divergence",
            "Sampler to trainer should stay near zero; old to new grows with the size of the updates.",
            "nats",
            [
                Line("kl/sampler_trainer", "sampler to trainer", INK.orange, "--"),
                Line("kl/old_new", "old to new"),
            ],
        ),
        durations(rows),
        curves(
            rows,
            "Throughput",
            "Generated tokens a second. Up is better.",
            "tokens per second",
            [Line("tokens_per_second", "tokens", INK.green)],
            limits=(0, None),
        ),
    ]
