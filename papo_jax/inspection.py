"""Inspection of a text: the polarity of its tokens, as a table or as HTML for a notebook.

policy = papo_jax.models.load("tiny")
print(papo_jax.inspection.table(papo_jax.inspection.read(policy, "12+7*3=", "12+21=33")))
"""

import html
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.token_stats import token_stats
from papo_jax import models
from papo_jax.rollout import tokenizing


class TokenReading(NamedTuple):
    """One token of a completion.

    Attributes:
      text: of the token.
      probability: p_y under the policy.
      entropy: H of the state that it was drawn in, nats.
      unit_polarity: T; reinforcing the token expands entropy for T > 0 and contracts it for T < 0.
    """

    text: str
    probability: float
    entropy: float
    unit_polarity: float


def read(
    policy: models.Policy, prompt: str, completion: str, *, temperature: float = 1.0
) -> list[TokenReading]:
    """Reads the polarity of every token of a completion, and of the stop token after it.

    Args:
      policy: from `papo_jax.models.load`.
      prompt: the text before, as the policy would see it; not empty.
      completion: the text whose tokens are read.
      temperature: of the distribution.

    Returns:
      A `TokenReading` a token, in order.

    Raises:
      ValueError: if the prompt has no token.
    """
    # The completion ends with a stop token, whose polarity is read too.
    (before,) = tokenizing.encode_plain_texts(policy.tokenizer, [prompt])
    (after,) = tokenizing.encode_texts(policy.tokenizer, [completion])
    after = [*after, policy.stop_tokens[0]]
    if not before:
        raise ValueError(
            "the prompt has no token: the first token of a text has no distribution before it"
        )

    # One forward pass; the state before each token is that of the token before it.
    tokens = jnp.array([before + after])
    logits = jax.jit(models.logits, static_argnums=0)(policy.graph, policy.params, tokens)
    stats = token_stats(
        logits[0, len(before) - 1 : -1], tokens[0, len(before) :], temperature=temperature
    )
    columns = (np.exp(stats.logprob).tolist(), stats.entropy.tolist(), stats.unit_polarity.tolist())
    texts = policy.tokenizer.convert_ids_to_tokens(after)
    return [
        TokenReading(text=text, probability=probability, entropy=entropy, unit_polarity=unit)
        for text, probability, entropy, unit in zip(texts, *columns, strict=True)
    ]


def table(readings: Sequence[TokenReading]) -> str:
    """Lays readings out as plain text, a token a line.

    >>> print(table([TokenReading("7", 0.25, 1.2, 0.031)]))
    token            p        H         T
    '7'          0.250    1.200   +0.0310  expands
    """
    lines = [f"{'token':<10} {'p':>7} {'H':>8} {'T':>9}"]
    for text, probability, entropy, unit in readings:
        effect = "expands" if unit > 1e-6 else "contracts" if unit < -1e-6 else "neither"
        lines.append(f"{text!r:<10} {probability:>7.3f} {entropy:>8.3f} {unit:>+9.4f}  {effect}")
    return "\n".join(lines)


def render_html(readings: Sequence[TokenReading]) -> str:
    """Renders the tokens as HTML: orange expands entropy when reinforced, blue contracts it.

    The stronger the color, the larger |T| beside the largest of the text. The text is escaped; show
    it with `IPython.display.HTML`.
    """
    largest = max((abs(reading.unit_polarity) for reading in readings), default=0.0) or 1.0
    spans = []
    for text, probability, entropy, unit in readings:
        color = "230,120,0" if unit > 0 else "0,90,200"
        title = f"p {probability:.3f}, H {entropy:.3f}, T {unit:+.4f}"
        style = f"background: rgba({color},{abs(unit) / largest:.2f})"
        spans.append(f'<span title="{title}" style="{style}">{html.escape(text)}</span>')
    return f'<pre style="font-size: 1.1em">{"".join(spans)}</pre>'
