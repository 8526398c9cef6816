"""Token statistics on NVIDIA GPUs: Pallas (Triton) kernels whose logits never leave the chip."""

from kernels.token_stats.pallas_gpu.gpu_passes import linear_sums, logits_sums

__all__ = ["linear_sums", "logits_sums"]
