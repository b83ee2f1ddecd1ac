"""The memory of the GPUs that this process may use, as the driver's own command tells it."""

import os
import subprocess
from functools import lru_cache

QUERY = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
QUERY_SECONDS = 20.0
"""A driver that wakes its devices for this takes seconds."""


@lru_cache(maxsize=1)
def smallest_gpu_gib() -> float | None:
    """GiB of the smallest GPU, of those that CUDA_VISIBLE_DEVICES names where it is set; None where there is none.

    A CUDA library would tell too, but asking it takes memory on the device that the engine wants, and seconds.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
        return None
    chosen = ("--id", visible) if visible else ()
    try:
        said = subprocess.run((*QUERY, *chosen), capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)  # noqa: S603 - a fixed command
        return min(float(line) for line in said.stdout.split()) / 1024
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
