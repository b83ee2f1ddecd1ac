"""Samples of a stack are counted for the step that the innermost telling frame names."""

import pytest

from tests.benchmarks.steps.attribution import OTHER, step_of, steps

RUN = "run (consumer/pipeline/service.py:10)"
COMMIT = "_commit (consumer/pipeline/worker.py:20)"


@pytest.mark.parametrize(
    ("stack", "step"),
    [
        ([RUN, COMMIT, "SqliteStore.apply (/x/consumer/store/disk.py:1)"], "local store: write"),
        (
            [RUN, COMMIT, "_fold (consumer/pipeline/reviews.py:1)", "review (consumer/store/disk.py:1)"],
            "local store: read",
        ),
        ([RUN, COMMIT, "_fold (consumer/pipeline/reviews.py:1)", "replace (dataclasses.py:1)"], "fold into the state"),
        (
            [RUN, COMMIT, "send (consumer/kafka/sending.py:1)", "append (aiokafka/record/x.py:1)"],
            "produce, transactions, connections",
        ),
        (
            [RUN, "poll (consumer/kafka/source.py:1)", "getmany (aiokafka/consumer/consumer.py:3)"],
            "fetch: read record batches",
        ),
        (["main (x.py:1)"], OTHER),
    ],
)
def test_the_innermost_frame_that_tells_decides(stack: list[str], step: str) -> None:
    """What lies below it is its own; what lies above called it."""
    assert step_of(stack) == step


def test_counts_are_added_up() -> None:
    """A function's name may hold spaces."""
    lines = [f"{RUN};x y (consumer/hooks/logs.py:1) 3", f"{RUN};z (consumer/hooks/metrics.py:1) 4", ""]
    lines.append("Thread.run (threading.py:9);_worker (/x/concurrent/futures/thread.py:81) 500")  # waits
    assert steps(lines) == {"hooks: metrics and logs": 7}
