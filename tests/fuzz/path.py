"""A record's way through the consumer without Kafka and engine: decoded, asked about, answered; or a dead letter."""

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

from consumer.analysis.prompts import render
from consumer.engines.contract import Answer, Prepared
from consumer.pipeline.ask import Ask
from consumer.pipeline.reviews import Reviews
from consumer.pipeline.summaries import Summaries
from consumer.store.memory import MemoryStore
from consumer.stream.keys import KeyCheck
from consumer.stream.letters import Replaying, read_letter
from consumer.stream.record import Partition, is_escaped
from schemas.base import Sentiment
from schemas.codec import Undecodable, decode, decode_group_key
from schemas.events import AnalysisRequest
from schemas.results import RestaurantSummary, SentimentResult
from schemas.topics import KeyPartitioner
from tests.fuzz.inputs import records
from tests.unit.lane_world import NAMES, RULES, FakeWorker, shared
from tests.unit.records import FakeRecord

SECONDS = 5.0
"""Of the processor, far more than any input may take: what takes longer has no bound. The machine may be busy."""
TOPIC = "fuzz"


@dataclass
class Path:
    """One lane; what came of each record is counted by outcome, or by the dead letter's reason."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    asks: list[Ask] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    now: float = 1_790_000_000.0

    def __post_init__(self) -> None:
        """A lane on an empty store, where any partition is right."""
        self.worker = cast("Any", FakeWorker(Partition(TOPIC, 0)))
        shares, store = shared(self), MemoryStore()
        keys = KeyCheck(TOPIC, KeyPartitioner.ANY, 1)
        keys.check(b"", 0, b"")  # so that a hundred wrong keys are not taken for a topic keyed some other way
        self.workload = Reviews(self.worker, shares, store, Summaries(self.worker, shares, store, RULES), keys)

    def run(self, records: Iterable[FakeRecord]) -> None:
        """Send each its way. Raises what the consumer would raise, or AssertionError: the record is in its notes."""
        for record in records:
            began = time.process_time()
            try:
                self._go(record)
            except BaseException as error:
                error.add_note(f"at {record!r:.2000}")
                raise
            taken = time.process_time() - began
            self.slowest = max(self.slowest, taken)
            assert taken < SECONDS, f"{taken:.1f} s for {record!r:.2000}"

    def _go(self, record: FakeRecord) -> None:
        self.workload.receive(record)
        for ask in self.asks:
            render(ask.task)
            render(replace(ask.task, strict=True), letters=True)
            prepared = Prepared(ask.task, 1, "", 0, truncated=False)
            ask.answered(Answer(label_logprobs={Sentiment.POSITIVE: -0.1, Sentiment.NEGATIVE: -2.5}), prepared)
        self.asks.clear()
        done = self.worker.done.pop(record.offset)
        first = self.workload.stage([done], {}).outputs[0]
        self.told.clear()
        if first.topic == NAMES.dlq:
            self._check_letter(record, FakeRecord(NAMES.dlq, 0, 0, 0, first.key, first.value, first.headers))
        else:
            self.outcomes[decode(SentimentResult, first.value).outcome] += 1
        for read in (lambda v: decode(AnalysisRequest, v), lambda v: decode(RestaurantSummary, v), decode_group_key):
            with suppress(Undecodable):
                read(record.value)

    def _check_letter(self, record: FakeRecord, written: FakeRecord) -> None:
        """Byte for byte, and ready to go back."""
        for name, _ in written.headers:
            name.encode()  # what no client could write would stop the consumer
        letter = read_letter(written)
        kept = tuple((name, value) for name, value in record.headers if not name.startswith("dlq."))
        assert (letter.key, letter.value, letter.headers) == (record.key, record.value, kept)
        output = Replaying({TOPIC: 1}, TOPIC, KeyPartitioner.ANY).replay(letter)
        assert output is not None
        assert (output.key, output.value) == (record.key, record.value)
        assert output.headers[:-1] == tuple(pair for pair in kept if not is_escaped(pair[0]))
        self.outcomes[letter.reason] += 1


def run_piece(piece: tuple[int, int]) -> tuple["Counter[str]", float]:
    """(seed, count) → what came of so many records, and the seconds of the slowest."""
    seed, count = piece
    path = Path()
    path.run(records(seed, count))
    return path.outcomes, path.slowest
