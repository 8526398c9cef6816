"""One branch of polarity alone, and random choices of tokens as controls: ablations of PAPO.

Source: the paper of PAPO, arXiv 2605.11775 (2026), says that the branches are complementary; that
the other branch's tokens leave numerator and denominator, and that tokens in the dead band stay, is
our choice. The surrogate and the length penalty are PAPO's, so that they differ in the branch
alone.
"""

from collections.abc import Callable

import jax

from papo_jax.methods import token_random
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import DAPO
from papo_jax.methods.token_batch import SampledTokens


def contracting_tokens(tokens: SampledTokens) -> jax.Array:
    """Returns the tokens with P < 0, [B, T], which the positive branch does without."""
    return tokens.polarity < 0


def expanding_tokens(tokens: SampledTokens) -> jax.Array:
    """Returns the tokens with P > 0, [B, T], which the negative branch does without."""
    return tokens.polarity > 0


def random_half(tokens: SampledTokens) -> jax.Array:
    """Returns the tokens with P != 0 that lose the toss of a coin, [B, T]."""
    return (tokens.polarity != 0) & (tokens.token_uniforms < 0.5)


def as_many_as_contracting(tokens: SampledTokens) -> jax.Array:
    """Returns random tokens with P != 0, [B, T], of each sign of A as many as contract."""
    return _draw_as_many(tokens, contracting_tokens(tokens))


def as_many_as_expanding(tokens: SampledTokens) -> jax.Array:
    """Returns random tokens with P != 0, [B, T], of each sign of A as many as expand."""
    return _draw_as_many(tokens, expanding_tokens(tokens))


def _draw_as_many(tokens: SampledTokens, dropped: jax.Array) -> jax.Array:
    acting, uniforms = tokens.polarity != 0, tokens.token_uniforms
    raised, lowered = (
        token_random.select_lowest(uniforms, acting & side, (dropped & side).sum())
        for side in (tokens.advantages > 0, tokens.advantages < 0)
    )
    return raised | lowered


def _method_without(dropped_token_rule: Callable[[SampledTokens], jax.Array]) -> Method:
    return Method(DAPO, dropped_token_rule=dropped_token_rule, overlong=0.2)


def positive_branch() -> Method:
    """Updates that expand entropy, P > 0, and tokens in the dead band; clip 0.2 / 0.28."""
    return _method_without(contracting_tokens)


def negative_branch() -> Method:
    """Updates that contract entropy, P < 0, and tokens in the dead band; clip 0.2 / 0.28."""
    return _method_without(expanding_tokens)


def random_branch() -> Method:
    """A random half of the tokens that have a polarity, and those in the dead band; ours.

    It shows what leaving tokens out does by itself.
    """
    return _method_without(random_half)


def random_positive_branch() -> Method:
    """As many tokens of each sign of A as `positive_branch` has, at random; ours."""
    return _method_without(as_many_as_contracting)


def random_negative_branch() -> Method:
    """As many tokens of each sign of A as `negative_branch` has, at random; ours."""
    return _method_without(as_many_as_expanding)


PRESETS = (
    positive_branch,
    negative_branch,
    random_branch,
    random_positive_branch,
    random_negative_branch,
)
