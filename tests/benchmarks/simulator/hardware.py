"""GPUs by their published figures, and the time of a step on them. Nothing here was measured.

| GPU | memory | bandwidth | 16 bit, dense | published in |
|---|---|---|---|---|
| RTX 3090 | 24 GB | 936 GB/s | 71 TFLOPS (FP32 accumulate) | NVIDIA Ampere GA102 GPU Architecture, appendix A |
| A100 40 GB | 40 GB | 1,555 GB/s | 312 TFLOPS | NVIDIA A100 Tensor Core GPU Architecture, table 1 |
| H100 SXM 80 GB | 80 GB | 3,350 GB/s | 989 TFLOPS | NVIDIA H100 Tensor Core GPU, data sheet |

The model is Qwen3 8B in 16 bit: 8.2 billion parameters, 36 layers, 8 key-value heads of 128 (its model card).
"""

from dataclasses import dataclass

from tests.benchmarks.simulator.machine import Limits, Work

PARAMETERS = 8.2e9
KV_BYTES = 2 * 36 * 8 * 128 * 2
"""Of a token: keys and values of every layer."""
COMPUTE_SHARE = 0.5
"""Assumed: of the peak, in prefill."""
BANDWIDTH_SHARE = 0.7
"""Assumed: of the peak, reading weights and KV cache."""
STEP_SECONDS = 0.004
"""Assumed: scheduling, launching and sampling."""
MEMORY_SHARE = 0.9
"""vLLM's gpu_memory_utilization."""
ACTIVATIONS = 1.5e9
BLOCK = 16


@dataclass(frozen=True, slots=True)
class Gpu:
    """A roofline: a step takes what computing takes, or reading, whichever is longer."""

    name: str
    preset: str
    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes a second."""
    flops: float
    step_tokens: int
    """vLLM's max_num_batched_tokens."""
    sequences: int

    @property
    def limits(self) -> Limits:
        """What is left of the memory is the KV cache."""
        free = self.memory * MEMORY_SHARE - 2 * PARAMETERS - ACTIVATIONS
        return Limits(self.sequences, self.step_tokens, BLOCK, int(free / KV_BYTES) // BLOCK)

    def __call__(self, work: Work) -> float:
        """Seconds of a step."""
        computing = 2 * PARAMETERS * work.tokens / (self.flops * COMPUTE_SHARE)
        reading = (2 * PARAMETERS + KV_BYTES * work.context) / (self.bandwidth * BANDWIDTH_SHARE)
        return STEP_SECONDS + max(computing, reading)


RTX_3090 = Gpu("RTX 3090 24 GB", "24gb", 24 * 2**30, 936e9, 71e12, 2048, 256)
A100 = Gpu("A100 40 GB", "40gb", 40 * 2**30, 1555e9, 312e12, 2048, 256)
H100 = Gpu("H100 80 GB", "80gb", 80 * 2**30, 3350e9, 989e12, 8192, 1024)
GPUS = (RTX_3090, A100, H100)
