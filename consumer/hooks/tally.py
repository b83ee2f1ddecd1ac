"""Histograms of what happens to every record: counted many at a time, which prometheus_client does one by one.

Written by the event loop alone, read by the page's thread: a reader may see the last batch of values half.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from consumer.hooks.declared import Declared


class Tally(Collector):
    """One declared histogram with one label."""

    def __init__(self, declared: Declared, registry: CollectorRegistry) -> None:
        self._declared = declared
        self._names = [*map(floatToGoString, declared.buckets), "+Inf"]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        registry.register(self)

    def observe(self, label: str, values: Sequence[float]) -> None:
        """Count the values in."""
        if (counts := self._counts.get(label)) is None:
            counts = self._counts[label] = [0] * len(self._names)
            self._sums[label] = 0.0
        bounds = self._declared.buckets
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self._sums[label] += sum(values)

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Its name, so that the registry need not collect to know it."""
        return [self._family()]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The histogram as it is now."""
        family = self._family()
        for label, counts in list(self._counts.items()):
            buckets = [(name, float(total)) for name, total in zip(self._names, accumulate(counts), strict=True)]
            family.add_metric([label], buckets=buckets, sum_value=self._sums[label])
        return [family]

    def _family(self) -> HistogramMetricFamily:
        one = self._declared
        return HistogramMetricFamily(one.full_name, one.help, labels=one.labels, unit=one.unit)
