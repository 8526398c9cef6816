"""Charts of a run's report: which metrics they show, and what up and down mean.

A step is a rollout with its updates. Entropy is in nats per token, time in seconds, lengths in
tokens.
"""

from papo_jax.report.entropy_change_plots import draw_breakdown, draw_scatter
from papo_jax.report.plots import Chart, Line, draw_curves, draw_durations
from papo_jax.report.svg import INK


def draw_learning(rows: list[dict]) -> list[Chart]:
    """Draws what the policy achieves: reward, how its groups split, and how long it writes."""
    return [
        draw_curves(
            rows,
            [Line("reward/mean", "reward", smooth=True)],
            title="Reward",
            reading="Up is better. Faint: each step; strong: a running mean.",
            unit="mean reward",
        ),
        draw_curves(
            rows,
            [
                Line("reward/all_right", "all right", smooth=True),
                Line("reward/all_wrong", "all wrong", INK.orange, "--", smooth=True),
            ],
            title="Zero-variance groups",
            reading="Shares of prompts whose samples all agree. High all wrong: too hard; high all"
            " right: too easy; what is left over carries the signal.",
            unit="share of groups",
            limits=(0, 1),
        ),
        draw_curves(
            rows,
            [Line("length/mean", "length", smooth=True)],
            title="Length",
            reading="Tokens a completion, neither good nor bad by itself; a climb towards the limit"
            " shows up as truncation.",
            unit="tokens",
        ),
        draw_curves(
            rows,
            [Line("length/truncated", "truncated", INK.orange)],
            title="Truncated completions",
            reading="Share cut at the token limit. Down is better: a cut answer is judged without"
            " its end.",
            unit="share",
            limits=(0, None),
        ),
    ]


def draw_entropy_control(rows: list[dict]) -> list[Chart]:
    """Draws what entropy does, and what the method does about it."""
    return [
        draw_curves(
            rows,
            [Line("entropy", "this step"), Line("entropy/ema", "moving average", INK.orange, "--")],
            title="Entropy",
            reading="Exact entropy of the policy's next token. Falling towards zero: exploration is"
            " lost; climbing without end: the policy dissolves.",
            unit="nats per token",
            limits=(0, None),
        ),
        draw_curves(
            rows,
            [Line("phase", "phase", INK.purple)],
            title="Phase signal",
            reading="Above zero the method favors expanding updates, below zero contracting ones.",
            unit="phase, -1 to 1",
            zero=True,
        ),
        draw_curves(
            rows,
            [Line("polarity/positive_share", "expanding")],
            title="Expanding share of tokens",
            reading="Share of tokens with positive polarity. Up: more of the batch's tokens push"
            " entropy up, however little.",
            unit="share",
            limits=(0, 1),
        ),
        draw_curves(
            rows,
            [
                Line("polarity/positive_mass", "expanding", smooth=True),
                Line("polarity/negative_mass", "contracting", INK.orange, "--", smooth=True),
            ],
            title="Mass of the two branches",
            reading="Absolute polarity by branch, averaged over all tokens. Where the expanding"
            " line is on top, the batch pushes entropy up on balance.",
            unit="absolute polarity",
            magnitude=True,
        ),
        draw_curves(
            rows,
            [
                Line("weight/max", "largest", INK.blue, ":"),
                Line("weight/mean", "mean"),
                Line("weight/min", "smallest", INK.orange, "--"),
            ],
            title="Token weights",
            reading="The factor put on the advantage. All three at one: the method does not act.",
            unit="weight",
        ),
    ]


def draw_entropy_prediction(rows: list[dict]) -> list[Chart]:
    """Draws predicted changes of entropy beside the one that the update brought, state by state."""
    realized, directional = "entropy_change/realized", "entropy_change/directional"
    return [
        draw_scatter(
            rows,
            "entropy_change/polarity",
            title="By polarity",
            reading="A point a diagnosed step. Upper right and lower left: the sign was right."
            " The scales differ, so only sign and order count.",
            diagonal=False,
        ),
        draw_scatter(
            rows,
            directional,
            title="By derivative",
            reading="A point a diagnosed step. On the dashed line the first-order prediction is"
            " exact; off it the step was too large for first order.",
            diagonal=True,
        ),
        draw_curves(
            rows,
            [
                Line(realized, "realized"),
                Line(directional, "predicted by the derivative", INK.orange, "--"),
            ],
            title="Change of entropy, step by step",
            reading="Above zero the update expanded entropy. A gap between the lines is what first"
            " order does not see.",
            unit="nats per token",
            zero=True,
            wide=True,
        ),
        draw_breakdown(rows),
    ]


def draw_mechanics(rows: list[dict]) -> list[Chart]:
    """Draws whether the optimization is sound, and where the time goes."""
    return [
        draw_curves(
            rows,
            [Line("clip/fraction", "clipped", smooth=True)],
            title="Clipped tokens",
            reading="Share of tokens with an advantage but no gradient. Near zero: steps are small;"
            " a high share wastes samples.",
            unit="share",
            limits=(0, None),
        ),
        draw_curves(
            rows,
            [Line("grad_norm", "norm", smooth=True)],
            title="Gradient norm",
            reading="Before clipping. Spikes precede trouble; zero means nothing was learned from"
            " the step.",
            unit="norm",
        ),
        draw_curves(
            rows,
            [Line("logprob_gap/max", "largest gap", INK.orange)],
            title="Sampler against trainer",
            reading="Largest gap between the two log-probabilities of a token. It should stay at"
            " rounding error; growth means that the two models differ.",
            unit="nats",
        ),
        draw_curves(
            rows,
            [
                Line("kl/sampler_trainer", "sampler to trainer", INK.orange, "--"),
                Line("kl/old_new", "old to new"),
            ],
            title="KL divergence",
            reading="Sampler to trainer should stay near zero; old to new grows with the size of"
            " the updates.",
            unit="nats",
        ),
        draw_durations(rows),
        draw_curves(
            rows,
            [Line("tokens_per_second", "tokens", INK.green)],
            title="Throughput",
            reading="Generated tokens a second. Up is better.",
            unit="tokens per second",
            limits=(0, None),
        ),
    ]
