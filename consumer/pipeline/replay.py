"""Dead letters: found, and sent back to where they came from, each once, whatever is selected in which order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from consumer.errors import ConfigError
from consumer.kafka import admin, topic_reader
from consumer.kafka.copying import ExactCopy, Route
from consumer.kafka.standing import offsets
from consumer.pipeline.exact_run import ExactRun, Plan, Step
from consumer.settings import Settings
from consumer.stream.letters import Letter, Replayed, Replaying, Selection, Tally, parse_selection, read_letter
from consumer.stream.record import Output, Partition, Record

Take = Callable[[Letter, bool], object]
"""(a letter, whether it was replayed)."""


@dataclass(slots=True)
class Count:
    """What was done, or would be."""

    replayed: Tally = field(default_factory=Tally)
    passed: int = 0
    """Letters that are not meant."""
    before: int = 0
    """Letters that are meant, and were replayed by another selection."""
    foreign: int = 0
    """Letters that are meant, and came from a topic that the consumer does not read."""


def replay_groups(settings: Settings) -> str:
    """What the names of all the groups begin with that remember replays."""
    return f"{settings.delivery.kafka_group_id}.{settings.topics.dlq}.replay."


async def replayed(settings: Settings, partitions: int, own: Selection | None = None) -> Replayed:
    """What earlier replays did, but for those of `own`. Raises ConfigError, RetryLater."""
    prefix, found = replay_groups(settings), []
    places = [Partition(settings.topics.dlq, number) for number in range(partitions)]
    for group in await admin.groups(settings.kafka, prefix, settings.kafka.request_timeout_seconds):
        try:
            selection = parse_selection(group.removeprefix(prefix))
        except ValueError as error:
            raise ConfigError(f"the group {group} remembers a replay that this version cannot read: {error}") from None
        if selection != own:
            stands = await offsets(settings.kafka, group, places)
            found.append((selection, {place.partition: at.committed or 0 for place, at in stands.items()}))
    return Replayed(found)


async def each_letter(
    settings: Settings, selection: Selection, take: Take, advance: Callable[[int, int], None]
) -> None:
    """Hand over every letter that is meant, one by one; `advance` is told of offsets read, and of all there are.

    Raises ConfigError, RetryLater.
    """
    async with topic_reader.opened(settings.kafka, settings.topics.dlq) as reader:
        known = await replayed(settings, reader.partitions)
        async for records, count in reader.read():
            for letter in map(read_letter, records):
                if selection.matches(letter):
                    take(letter, known.holds(letter))
            advance(count, reader.size)


async def one_letter(settings: Settings, partition: int, offset: int) -> tuple[Letter, bool] | None:
    """A letter by its place, and whether it was replayed; None where there is none."""
    async with topic_reader.opened(settings.kafka, settings.topics.dlq) as reader:
        if (record := await reader.one(partition, offset)) is None:
            return None
        letter = read_letter(record)
        return letter, (await replayed(settings, reader.partitions)).holds(letter)


class Replay:
    """One run over the dead letters that were there at its start. `tell`: after each transaction, with what remains.

    Letters of one selection are remembered by the offsets of a group of its own, in the transactions that send them; a
    second run, of whatever selection, fences the first.
    """

    def __init__(
        self, settings: Settings, selection: Selection, plan: Plan, tell: Callable[[Count, int], None]
    ) -> None:
        self._settings, self._selection = settings, selection
        names, prefix = settings.topics, replay_groups(settings)
        targets = (names.reviews, names.requests, names.by_group)
        route = Route(names.dlq, targets, f"{prefix}{selection.name()}", f"{prefix}writer")
        self._copy = ExactCopy(settings.kafka, route, dry=plan.dry)
        self._run = ExactRun(self._copy, plan, lambda remaining: tell(self.count, remaining))
        self.count = Count()

    def stop(self) -> None:
        """End after the transaction that is running."""
        self._run.stop()

    async def run(self) -> bool:
        """Replay; return whether all was gone through that was there at the start. Raises as `ExactRun.run`."""
        return await self._run.run(self._begin)

    async def _begin(self) -> Callable[[Sequence[Record]], Step]:
        """Our producer runs by now: no earlier replay can commit any more."""
        counts = dict(self._copy.partitions)
        known = await replayed(self._settings, counts.pop(self._settings.topics.dlq), self._selection)
        replaying = Replaying(counts, self._settings.topics.reviews, self._settings.delivery.key_partitioner)
        return partial(self._step, known, replaying)

    def _step(self, known: Replayed, replaying: Replaying, records: Sequence[Record]) -> Step:
        told: list[Callable[[], object]] = []
        outputs: list[Output] = []
        for letter in map(read_letter, records):
            if not self._selection.matches(letter):
                told.append(self._pass)
            elif known.holds(letter):
                told.append(self._skip)
            elif output := replaying.replay(letter):
                outputs.append(output)
                told.append(partial(self.count.replayed.add, letter, replayed=True))
            else:
                told.append(self._leave)

        def done() -> None:
            for tell in told:
                tell()

        return Step(outputs, done)

    def _pass(self) -> None:
        self.count.passed += 1

    def _skip(self) -> None:
        self.count.before += 1

    def _leave(self) -> None:
        self.count.foreign += 1
