"""Log-probability, logsumexp, entropy and unit polarity of tokens from one pass over the
vocabulary.

Read `reference.py` for what is computed and `sums.py` for how one pass is enough; `api.py` has the
entry points.
"""

from kernels.token_stats.api import linear_token_stats, token_stats
from kernels.token_stats.loss import linear_token_loss
from kernels.token_stats.reference import TokenStats

__all__ = ["TokenStats", "linear_token_loss", "linear_token_stats", "token_stats"]
