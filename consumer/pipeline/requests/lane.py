"""The lanes of `restaurant.analysis.requests`: a reply to each record, as soon as it is ready."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from consumer.errors import DeadLetter
from consumer.hooks.events import Event, What
from consumer.pipeline import outputs
from consumer.pipeline.requests.digest import DigestRules
from consumer.pipeline.requests.in_flight import InFlight, Over
from consumer.pipeline.requests.labels import Labels
from consumer.pipeline.requests.questions import Analysis, RequestRules, Result
from consumer.pipeline.requests.strengths import Strengths
from consumer.pipeline.requests.summary import Summary
from consumer.pipeline.worker import Worker
from consumer.pipeline.workload import Shared, Staged, dead_letter_told
from consumer.stream.record import Output, Record, check_header_names
from consumer.stream.state import Changes
from schemas.base import WireModel
from schemas.batch import SentimentBatchItem, StrengthBatchItem, SummaryBatchItem
from schemas.codec import Undecodable, decode
from schemas.events import AnalysisRequest
from schemas.findings import AnalysisError
from schemas.headers import EventType
from schemas.results import AnalysisReply

MAX_MESSAGE = 1000
"""Characters of an error's message."""
_ITEMS: Mapping[str, type[WireModel]] = {
    "sentiment": SentimentBatchItem,
    "summary": SummaryBatchItem,
    "strength": StrengthBatchItem,
}


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that is no request: whom to answer is not known."""

    record: Record
    fault: DeadLetter


class Requests:
    """The workload of one requests lane: it has no state, and no order. Delivery is at least once.

    What is ready is published with the next commit, also when an earlier record is not done; offsets follow when all
    before them are.
    """

    def __init__(self, worker: Worker, shared: Shared, rules: RequestRules) -> None:
        self._worker, self._shared, self._rules = worker, shared, rules
        self._over: list[tuple[Over | Bad, float]] = []
        """Not published, with when it was done. A record is done in its lane exactly when it is here, or was."""

    def restore(self, record: Record) -> None:
        """Nothing: there is no state."""

    def receive(self, record: Record) -> None:
        """Decode, and begin; what is no request is done at once."""
        try:
            check_header_names(record)
            request = read_request(record.value)
        except (Undecodable, DeadLetter) as error:
            self._done(Bad(record, DeadLetter(error.reason, str(error))))
            return
        InFlight(
            record,
            request,
            self._analysis(request),
            self._worker,
            deadline=self._shared.on_clock(request.deadline),
            submit=self._shared.submit,
            trace=self._shared.trace(record),
            over=self._done,
        ).begin()

    def receive_again(self, record: Record) -> None:
        """Without state every record is new."""
        self.receive(record)

    def has_output(self) -> bool:
        """Whether a reply waits to be published."""
        return bool(self._over)

    def start_jobs(self, now: float) -> float | None:  # noqa: ARG002 - other workloads need it
        """There are none."""
        return None

    def stage(self, done: Sequence[object], refused: Mapping[object, str]) -> Staged:  # noqa: ARG002 - no order
        """Every reply that is ready: among them those of the done prefix that are not published yet."""
        now, ready = self._shared.wall(), tuple(self._over)
        over = [one for one, _ in ready]

        def settle() -> None:
            del self._over[: len(ready)]

        out = [self._output(one, refused.get(one.record.offset), now) for one in over]
        times = [(one.record.timestamp, at) for one, at in ready]
        return Staged(tuple(out), Changes(), settle, tuple(map(_event, over)), times)

    def _analysis(self, request: AnalysisRequest) -> Analysis:
        rules = self._rules
        digests = DigestRules(rules.language, rules.prompt_budget(request.max_tokens_per_batch), self._shared.hooks)
        match request.restaurant:
            case SentimentBatchItem() as item:
                return Labels(item, self._shared.calibration)
            case SummaryBatchItem() as item:
                return Summary(item, digests)
            case StrengthBatchItem() as item:
                return Strengths(item, digests)

    def _done(self, over: Over | Bad) -> None:
        self._over.append((over, self._shared.clock()))
        self._worker.finish(over.record.offset, over)
        self._worker.wake()

    def _output(self, over: Over | Bad, refusal: str | None, now: float) -> Output:
        if isinstance(over, Bad):
            return outputs.dead_letter(self._shared.names.dlq, over.record, over.fault, 1, now)
        said = DeadLetter("output_refused", refusal) if refusal else over.said
        reply = reply_to(over.request, said)
        marks = outputs.headers(
            outputs.ce_id_of_record(over.record, "reply"), EventType.REPLY, now, self._shared.trace(over.record)
        )
        key = f"{reply.request_id}/{reply.index}".encode("utf-8", "surrogatepass")
        place = reply.request_id.encode("utf-8", "surrogatepass")
        made = outputs.result(self._shared.names.replies, key, reply, place, marks)
        return replace(made, origin=over.record.offset)


def reply_to(request: AnalysisRequest, said: Result | DeadLetter) -> AnalysisReply:
    """The reply that carries a result, or the reason why there is none."""
    error = AnalysisError(code=said.reason, message=str(said)[:MAX_MESSAGE]) if isinstance(said, DeadLetter) else None
    return AnalysisReply(
        request_id=request.request_id,
        index=request.index,
        count=request.count,
        kind=request.kind,
        result=None if isinstance(said, DeadLetter) else said,
        error=error,
    )


def read_request(value: bytes | None) -> AnalysisRequest:
    """Read a request whose parts agree with each other. Raises Undecodable."""
    request = decode(AnalysisRequest, value)
    if not isinstance(request.restaurant, _ITEMS[request.kind]):
        raise Undecodable("invalid_event", f"restaurant: no item of a {request.kind} request")
    if request.index >= request.count:
        raise Undecodable("invalid_event", f"index: {request.index}, where count is {request.count}")
    return request


def _event(over: Over | Bad) -> Event:
    if isinstance(over, Bad):
        record, fault = over.record, over.fault
        return dead_letter_told(record, fault)
    record, outcome = over.record, over.said.reason if isinstance(over.said, DeadLetter) else "analyzed"
    return Event(What.RESULT, record.topic, record.partition, f"{over.request.kind}_request", outcome)
