"""The quick histogram is on the page exactly what prometheus_client's own would be."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from consumer.hooks.declared import QUEUE
from consumer.hooks.tally import Tally

_VALUES = st.lists(st.sampled_from([*QUEUE.buckets, 0.0, 3.0, 1000.0]) | st.floats(0, 500), max_size=20)


@given(st.lists(st.tuples(st.sampled_from(["sentiment", "summary"]), _VALUES), max_size=5))
def test_it_counts_as_the_library_does(told: list[tuple[str, list[float]]]) -> None:
    """Values on a bound, between two, and above all of them."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally, histogram = Tally(QUEUE, ours), QUEUE.histogram(theirs)
    for label, values in told:
        tally.observe(label, values)
        child = histogram.labels(label)
        for value in values:
            child.observe(value)
    assert _page(ours) == _page(theirs)


def _page(registry: CollectorRegistry) -> dict[str, float]:
    """By the text before each value; the times of creation are nobody's business, sums may differ in the last bit."""
    lines = (
        line for line in generate_latest(registry).decode().splitlines() if "_created" not in line and line[0] != "#"
    )
    return {line.rpartition(" ")[0]: round(float(line.rpartition(" ")[2]), 6) for line in lines}
