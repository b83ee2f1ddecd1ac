"""Use and memory of GPUs, asked of NVIDIA's management library when the page is read; silent where it is absent."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

import pynvml
from prometheus_client import Metric
from prometheus_client.registry import Collector

from consumer.hooks import declared

_Reading = tuple[tuple[str, ...], float]


class Gpus(Collector):
    """Each GPU that this process may see, by its index. What one does not tell is left out."""

    def __init__(self) -> None:
        self._handles: Sequence[object] = ()
        with suppress(pynvml.NVMLError):  # no driver, or no GPU
            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]

    def collect(self) -> Iterable[Metric]:
        """A few calls of microseconds a GPU."""
        use: list[_Reading] = []
        used: list[_Reading] = []
        size: list[_Reading] = []
        for number, handle in enumerate(self._handles):
            gpu = (str(number),)
            with suppress(pynvml.NVMLError):
                use.append((gpu, pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100))
            with suppress(pynvml.NVMLError):
                memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
                used.append((gpu, float(memory.used)))
                size.append((gpu, float(memory.total)))
        for one, readings in (
            (declared.GPU_UTILIZATION, use),
            (declared.GPU_MEMORY_USED, used),
            (declared.GPU_MEMORY_SIZE, size),
        ):
            if readings:
                yield one.family(readings)
