"""One request at work: its questions on their way to the engine, and their answers back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter
from consumer.pipeline import outputs
from consumer.pipeline.ask import Ask, Owner
from consumer.pipeline.requests.questions import Analysis, Question, Result
from consumer.stream.record import Record
from consumer.stream.work import Rank
from schemas.events import AnalysisRequest


@dataclass(frozen=True, slots=True)
class Over:
    """A request that is over: its result, or why there is none."""

    record: Record
    request: AnalysisRequest
    said: Result | DeadLetter


class InFlight:
    """Asks what its analysis wants to know until that is over, or one question has failed for good.

    It owns its questions: once it is over, those that still wait are dropped.
    """

    def __init__(
        self,
        record: Record,
        request: AnalysisRequest,
        analysis: Analysis,
        worker: Owner,
        *,
        deadline: float | None,
        submit: Callable[[Ask], None],
        trace: bytes | None,
        over: Callable[[Over], None],
    ) -> None:
        """`deadline`: on the dispatcher's clock. `trace`: what its questions belong to.

        `over` is called once, unless the lane closes before.
        """
        self._record, self._request, self._analysis = record, request, analysis
        self._worker, self._deadline, self._submit, self._tell = worker, deadline, submit, over
        self._trace = trace
        self._open = 0
        self._over = False

    @property
    def closed(self) -> bool:
        """Whether its questions need no answer any more."""
        return self._over or self._worker.closed

    def begin(self) -> None:
        """Ask the first questions."""
        try:
            first = self._analysis.start()
        except DeadLetter as fault:
            self._end(fault)
            return
        self._ask(first, self._request.request_id)
        self._look()

    def _ask(self, questions: Sequence[Question], turn: str) -> None:
        """`turn`: a call's restaurants share one, and so go one after another: the first is ready long before the last.

        What follows takes a turn of its own, so that what is begun is finished before more is begun.
        """
        self._open += len(questions)
        for question in questions:
            self._submit(self._as_ask(question, turn))

    def _as_ask(self, question: Question, turn: str) -> Ask:
        def answered(answer: Answer, prepared: Prepared) -> None:
            more = question.use(answer, prepared)
            self._open -= 1
            self._ask(more, f"{self._request.request_id}/{self._request.index}")
            self._look()

        def failed(fault: DeadLetter, _: int) -> None:
            self._end(fault)

        return Ask(
            question.task,
            turn,
            Rank.of(self._request.priority),
            self,
            answered,
            failed,
            name=outputs.ce_id_of_record(self._record, question.name),
            deadline=self._deadline,
            budget=self._request.max_tokens_per_batch,
            feed=self._record.topic,
            record=self._record,
            trace=self._trace,
        )

    def _look(self) -> None:
        if not self._open:
            self._end(self._analysis.result())

    def _end(self, said: Result | DeadLetter) -> None:
        if not self.closed:
            self._over = True
            self._tell(Over(self._record, self._request, said))
