"""Token statistics on TPU: Pallas (Mosaic) kernels whose logits never leave the chip."""

from kernels.token_stats.pallas_tpu.tpu_passes import linear_sums, logits_sums

__all__ = ["linear_sums", "logits_sums"]
