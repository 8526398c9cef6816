"""Log-probability, logsumexp, entropy and unit polarity of tokens, in one pass over the vocabulary.

`reference.py` defines what is computed, `sums.py` shows why one pass is enough, and `api.py` has
the entry points.
"""

from kernels.token_stats.api import linear_token_stats, token_stats
from kernels.token_stats.reference import TokenStats
from kernels.token_stats.token_loss import linear_token_loss

__all__ = ["TokenStats", "linear_token_loss", "linear_token_stats", "token_stats"]
