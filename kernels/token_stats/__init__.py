"""Log-probability, logsumexp, entropy and unit polarity of tokens from one pass over the vocabulary."""

from kernels.token_stats.api import linear_token_stats, token_stats
from kernels.token_stats.reference import TokenStats

__all__ = ["TokenStats", "linear_token_stats", "token_stats"]
