"""How much may be in the engine at once: batches by a semaphore's permits, tokens by a ceiling.

A micro-batch is the unit of admission, never a barrier: its tokens come back item by item, and its permit when half of
them have, so that one slow item does not hold a place that a fresh batch could use.
"""

from collections.abc import Callable


class NoRoom(Exception):  # noqa: N818 - the state it tells of
    """The batch was not admitted and nothing was reserved: take no more than `Admission.room`."""


class Admission:
    """Permits for `max_batches` batches and a ceiling of tokens over all that is in flight.

    The ceiling starts at `max_batches` full batches, of `batch_tokens` tokens each, which is also its upper bound.
    Its lower bound is one full batch, so that whatever the batcher packs gets its turn.
    Raises ValueError if either number is below 1.
    """

    def __init__(self, max_batches: int, batch_tokens: int, adapt: Callable[[int], int] | None = None) -> None:
        """`adapt`: gives the ceiling for what is in flight, whenever it is asked how much room there is."""
        if max_batches < 1 or batch_tokens < 1:
            raise ValueError(f"admission needs a batch of a token at least: {max_batches=}, {batch_tokens=}")
        self._max_batches = max_batches
        self._batch_tokens = batch_tokens
        self._adapt = adapt
        self._ceiling = max_batches * batch_tokens
        self._batches_running = 0
        self._tokens_in_flight = 0

    @property
    def batches_running(self) -> int:
        """Batches that hold their permit. One that has given it back may still have its last items in flight."""
        return self._batches_running

    @property
    def most_batches(self) -> int:
        """Permits."""
        return self._max_batches

    @property
    def tokens_in_flight(self) -> int:
        """Tokens admitted and not given back, of batches with and without their permit."""
        return self._tokens_in_flight

    @property
    def ceiling(self) -> int:
        """Tokens that may be in flight.

        A value beyond the bounds is set to the nearer bound. A ceiling below what is in flight takes nothing back:
        there is no room until enough has come back.
        """
        return self._ceiling

    @ceiling.setter
    def ceiling(self, tokens: int) -> None:
        self._ceiling = min(max(tokens, self._batch_tokens), self._max_batches * self._batch_tokens)

    def room(self) -> int:
        """Tokens that a batch may have to be admitted now; 0 where no permit is free."""
        if self._adapt:
            self.ceiling = self._adapt(self._tokens_in_flight)
        if self._batches_running >= self._max_batches:
            return 0
        return max(0, self._ceiling - self._tokens_in_flight)

    def admits(self, batch_tokens: int) -> bool:
        """Whether a batch of this size may start now.

        When nothing is in flight any batch may, even one above the ceiling: it could never start otherwise.
        """
        return batch_tokens <= self.room() or not self._tokens_in_flight

    def admit(self, batch_tokens: int) -> "Permit":
        """Reserve a permit and the batch's tokens, to be given back through the permit.

        Raises NoRoom where `admits` says no, and ValueError for a batch without tokens.
        """
        if batch_tokens < 1:
            raise ValueError(f"a batch of {batch_tokens} tokens")
        if not self.admits(batch_tokens):
            raise NoRoom(f"a batch of {batch_tokens} tokens where {self.room()} are free")
        self._batches_running += 1
        self._tokens_in_flight += batch_tokens
        return Permit(batch_tokens, self._take_back)

    def _take_back(self, tokens: int, permits: int) -> None:
        self._tokens_in_flight -= tokens
        self._batches_running -= permits


class Permit:
    """What one running batch holds. Made by `Admission.admit`; `contextlib.closing` gives it back whatever happens."""

    def __init__(self, tokens: int, take_back: Callable[[int, int], None]) -> None:
        self._take_back = take_back  # tokens, permits
        self._tokens = tokens
        self._outstanding = tokens
        self._closed = False

    @property
    def outstanding(self) -> int:
        """Tokens not given back yet."""
        return self._outstanding

    def give_back(self, tokens: int) -> None:
        """Return the tokens of an item that has finished; with the half of the batch's tokens the permit goes too.

        Nothing happens after `close`, which has returned them already: items of a cancelled batch end late.
        Raises ValueError for less than nothing or for more than is outstanding.
        """
        if self._closed:
            return
        if not 0 <= tokens <= self._outstanding:
            raise ValueError(f"{tokens} tokens given back of {self._outstanding} outstanding")
        self._return(tokens)

    def close(self) -> None:
        """Return all that is outstanding: the batch has ended, failed or was cancelled. Once; then nothing happens."""
        self._closed = True
        self._return(self._outstanding)

    def _return(self, tokens: int) -> None:
        held = self._holds_place()
        self._outstanding -= tokens
        self._take_back(tokens, held - self._holds_place())

    def _holds_place(self) -> bool:
        return self._outstanding * 2 > self._tokens
