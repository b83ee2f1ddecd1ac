"""From samples of a program's stack to the steps that it was in. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

STEPS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("hooks: metrics and logs", ("consumer/hooks/",)),
    ("decode the event, check its key", ("consumer/pipeline/reviews.py:_read", "consumer/stream/keys.py:check")),
    ("make the question", ("consumer/pipeline/reviews.py:_ask",)),
    ("prepare it (the engine's part)", ("consumer/pipeline/preparing.py", "tests/benchmarks/plumbing/ours.py")),
    ("quarantine's flight log", ("consumer/pipeline/quarantine.py", "consumer/flight_log.py")),
    (
        "take the answer",
        (
            "consumer/pipeline/dispatch.py:_deliver",
            "consumer/pipeline/running.py:hear",
            "consumer/pipeline/settling.py",
            "consumer/pipeline/reviews.py:_answered",
            "consumer/pipeline/reviews.py:<lambda>",
        ),
    ),
    (
        "batch and admit",
        ("consumer/stream/batcher.py", "consumer/stream/admission.py", "consumer/pipeline/dispatch.py"),
    ),
    ("local store: write", tuple(f"consumer/store/disk.py:{name}" for name in ("apply", "_put", "flush", "close"))),
    ("local store: read", ("consumer/store/disk.py",)),
    ("fold into the state", ("consumer/pipeline/reviews.py:_fold",)),
    ("state as JSON, for changelog and store", ("consumer/stream/changelog.py:entries",)),
    (
        "results as records",
        ("consumer/pipeline/reviews.py:_result", "consumer/pipeline/reviews.py:_made", "consumer/pipeline/outputs.py"),
    ),
    ("totals as records", ("consumer/pipeline/reviews.py:_totals",)),
    ("lane and rest of a commit", ("consumer/stream/lane.py", "consumer/pipeline/")),
    ("build record batches, compress", ("consumer/kafka/sending.py",)),
    (
        "fetch: read record batches",
        ("aiokafka/consumer/", "consumer/kafka/header_names.py", "consumer/kafka/source.py"),
    ),
    ("produce, transactions, connections", ("aiokafka/",)),
    ("event loop", ("asyncio/", "uvloop/", "run_until_complete")),
)
"""A step, and the files, or `file:function`, that name it. A sample is of the innermost frame that names a step, and
of the first step that this frame names."""
OTHER = "other"
_IDLE = "concurrent/futures/thread.py"
"""A pool's thread that waits for work, which py-spy does not see."""


def steps(lines: Iterable[str]) -> Counter[str]:
    """Samples by step, of py-spy's raw form, `outer;…;inner COUNT` a line; functions may come with their class."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if stack and _IDLE not in frames[-1]:
            found[step_of(frames)] += int(count)
    return found


def step_of(stack: Sequence[str]) -> str:
    """Which step a sample belongs to; frames outermost first."""
    for frame in reversed(stack):
        function, _, place = frame.partition(" (")
        named = f"{place.partition(':')[0].rstrip(')')}:{function.rpartition('.')[2]}"
        for step, names in STEPS:
            if any(name in named for name in names):
                return step
    return OTHER
