"""Free KV blocks in the order in which they are taken. What a block holds can be found again until then."""

from collections import deque
from typing import Any

WITHOUT_END = 2**60
"""Blocks, where they are never short."""


class FreeBlocks:
    """As vLLM's block pool with prefix caching: the longest free first, of one sequence's the last first.

    Blocks that are not full are found by nobody, and taken before all others.
    """

    def __init__(self, count: int | None) -> None:
        self._spans: deque[list[Any]] = deque([[None, WITHOUT_END if count is None else count]])
        """[whose they are, how many]."""

    def take(self, count: int) -> None:
        """So many; there must be as many."""
        while count:
            span = self._spans[0]
            taken = min(count, span[1])
            count -= taken
            span[1] -= taken
            if not span[1]:
                self._spans.popleft()

    def give(self, count: int, full: int, owner: object) -> None:
        """Give back `count` blocks, of which the first `full` can be found again by their owner."""
        self._spans.appendleft([None, count - full])
        if full:
            self._spans.append([owner, full])
        self._tidy()

    def find(self, owner: object) -> int:
        """Take what is left of what this one gave back."""
        for span in self._spans:
            if span[0] is owner:
                self._spans.remove(span)
                return int(span[1])
        return 0

    def _tidy(self) -> None:
        """Nobody's join at both ends, so that there are few spans."""
        if len(self._spans) > 1 and self._spans[0][0] is self._spans[1][0] is None:
            self._spans[1][1] += self._spans.popleft()[1]
        if len(self._spans) > 1 and self._spans[-1][0] is self._spans[-2][0] is None:
            self._spans[-2][1] += self._spans.pop()[1]
        while self._spans and not self._spans[0][1]:
            self._spans.popleft()
