"""Copies a topic that is keyed some other way into the reviews topic, exactly once; goes on where it was stopped."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from consumer.errors import ConfigError, DeadLetter
from consumer.kafka.copying import ExactCopy, Route
from consumer.pipeline.exact_run import ExactRun, Step
from consumer.pipeline.exact_run import Plan as Plan
from consumer.pipeline.outputs import dead_letter
from consumer.settings import Settings
from consumer.stream.record import Output, Record
from consumer.stream.rekey import Rekeying


@dataclass(slots=True)
class Count:
    """What was done, or would be."""

    copied: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason."""

    @property
    def all(self) -> int:
        """Records read and done with."""
        return self.copied + self.dead.total()


def route_of(settings: Settings, source: str) -> Route:
    """Source and targets. Raises ConfigError where the source is one of the targets."""
    names = settings.topics
    if source in {names.reviews, names.dlq}:
        raise ConfigError(f"{source} cannot be copied into itself: name the topic that is keyed some other way")
    return Route(source, (names.reviews, names.dlq), f"{settings.delivery.kafka_group_id}.rekey")


class Rekey:
    """One run over one topic. `tell` is called after each transaction, with the count and the records that remain."""

    def __init__(
        self,
        settings: Settings,
        source: str,
        plan: Plan,
        wall: Callable[[], float],
        tell: Callable[[Count, int], None],
    ) -> None:
        self._settings, self._wall = settings, wall
        self._copy = ExactCopy(settings.kafka, route_of(settings, source), dry=plan.dry)
        self._run = ExactRun(self._copy, plan, lambda remaining: tell(self.count, remaining))
        self.count = Count()

    @property
    def deleted(self) -> int:
        """Records that retention took before they were copied."""
        return self._copy.deleted

    def stop(self) -> None:
        """End after the transaction that is running."""
        self._run.stop()

    async def run(self) -> bool:
        """Copy; return whether all was copied that was there at the start. Raises as `ExactRun.run`."""
        return await self._run.run(self._begin)

    async def _begin(self) -> Callable[[Sequence[Record]], Step]:
        names = self._settings.topics
        kind = self._settings.delivery.key_partitioner
        return partial(self._step, Rekeying(names.reviews, kind, self._copy.partitions[names.reviews]))

    def _step(self, rekeying: Rekeying, records: Sequence[Record]) -> Step:
        count = Count()
        outputs = [self._output(rekeying, record, count) for record in records]
        return Step(outputs, lambda: self._add(count))

    def _add(self, count: Count) -> None:
        self.count.copied += count.copied
        self.count.dead += count.dead

    def _output(self, rekeying: Rekeying, record: Record, count: Count) -> Output:
        try:
            made = rekeying.copy(record)
        except DeadLetter as fault:
            count.dead[fault.reason] += 1
            return dead_letter(self._settings.topics.dlq, record, fault, 1, self._wall())
        count.copied += 1
        return made
