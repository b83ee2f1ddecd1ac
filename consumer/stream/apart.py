"""Items that failed together are tried apart from all others, in halves, until whoever is to blame is alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from consumer.stream.batcher import Batch, FlushReason
from consumer.stream.retry import DelayQueue
from consumer.stream.work import Item, Weight

T = TypeVar("T")


class Apart(Generic[T]):
    """Groups that each wait to be a batch of their own. Times are seconds on the caller's clock.

    A batch of N that fails as a whole because of one item costs at most 2 x ceil(log2 N) batches more until that item
    is alone, and every other one is answered on the way.
    """

    def __init__(self) -> None:
        self._groups: DelayQueue[list[Item[T]]] = DelayQueue()
        self._ready: list[list[Item[T]]] = []

    def __len__(self) -> int:
        """Groups that wait."""
        return len(self._groups) + len(self._ready)

    def __iter__(self) -> Iterator[Item[T]]:
        """All items that wait, in no order."""
        return (item for group in (*self._ready, *self._groups) for item in group)

    def failed(self, items: Sequence[Item[T]], due: float) -> None:
        """These failed and nobody knows whose fault it was: each half is a group, due then; one alone stays so."""
        middle = (len(items) + 1) // 2
        for half in (items[:middle], items[middle:]):
            if half:
                self._groups.push(list(half), due)

    def is_due(self, now: float) -> bool:
        """Whether a group may go, given room."""
        due = self.next_due()
        return due is not None and due <= now

    def next_due(self) -> float | None:
        """Return when a group is due: in the past if it waits for room, None if none waits."""
        return float("-inf") if self._ready else self._groups.next_due()

    def take(self, now: float, tokens_available: int) -> Batch[T] | None:
        """The next group that is due, if it fits; a group that does not is not overtaken by another."""
        self._ready.extend(self._groups.pop_due(now))
        if not self._ready or (tokens := weight_of(self._ready[0])) > tokens_available:
            return None
        return Batch(tuple(self._ready.pop(0)), tokens, FlushReason.APART)

    def discard(self, unwanted: Callable[[Item[T]], bool]) -> list[Item[T]]:
        """Take out every item that `unwanted` names; the others of its group go on as a group."""
        found: list[Item[T]] = []
        for group in (*self._ready, *self._groups):
            found.extend(item for item in group if unwanted(item))
            group[:] = [item for item in group if not unwanted(item)]
        self._ready = [group for group in self._ready if group]
        self._groups.discard(lambda group: not group)
        return found


def weight_of(items: Sequence[Item[T]]) -> int:
    """Tokens of a batch of these."""
    weight = Weight()
    for item in items:
        weight.add(item)
    return weight.tokens
