"""Which partitions to pause and which to resume, so that what is in flight stays bounded while polling goes on.

Pausing is per partition, when its lane is nearly full, and for all of them, when too many tokens wait for the engine.
Between a high mark and its low mark nothing changes (hysteresis): a lane that hovers at one mark does not flap.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

P = TypeVar("P")
"""A partition, as the caller names it."""


@dataclass(frozen=True, slots=True)
class LaneFill:
    """What one lane holds: records that are not committed yet, and their bytes."""

    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class WaterMarks:
    """Where pausing begins (high) and ends (low). Raises ValueError for marks that could never be reached again.

    A lane never holds more than `high_records`: it is paused while one more poll still fits. Bytes and tokens are known
    only once they have arrived: they exceed their high mark by those of one poll at most.
    """

    high_records: int
    low_records: int
    high_bytes: int
    low_bytes: int
    high_tokens: int
    """Tokens that wait in the batcher, of all lanes together."""
    low_tokens: int
    poll_records: int
    """Records of one poll, which may all come from one partition."""

    def __post_init__(self) -> None:
        if self.poll_records < 1 or not 0 <= self.low_records <= self.high_records - self.poll_records:
            raise ValueError(f"need 0 <= low_records <= high_records - poll_records: {self}")
        if not 0 <= self.low_bytes < self.high_bytes or not 0 <= self.low_tokens < self.high_tokens:
            raise ValueError(f"a low mark is at least 0 and below its high mark: {self}")

    @classmethod
    def halving(cls, *, max_records: int, max_bytes: int, max_tokens: int, poll_records: int) -> Self:
        """Marks from the upper bounds alone: what is paused resumes at half of where it was paused."""
        return cls(
            high_records=max_records,
            low_records=(max_records - poll_records) // 2,
            high_bytes=max_bytes,
            low_bytes=max_bytes // 2,
            high_tokens=max_tokens,
            low_tokens=max_tokens // 2,
            poll_records=poll_records,
        )

    def must_pause(self, lane: LaneFill, waiting_tokens: int) -> bool:
        """Whether the next poll could overfill this lane, or enough waits for the engine already."""
        return (
            lane.records > self.high_records - self.poll_records
            or lane.bytes >= self.high_bytes
            or waiting_tokens >= self.high_tokens
        )

    def may_resume(self, lane: LaneFill, waiting_tokens: int) -> bool:
        """Whether everything has drained to its low mark."""
        return lane.records <= self.low_records and lane.bytes <= self.low_bytes and waiting_tokens <= self.low_tokens


@dataclass(frozen=True, slots=True)
class PauseDecision(Generic[P]):
    """What to change; both are empty where nothing is."""

    pause: frozenset[P]
    resume: frozenset[P]


def decide(
    marks: WaterMarks, lanes: Mapping[P, LaneFill], paused: Collection[P], waiting_tokens: int
) -> PauseDecision[P]:
    """Compare each open lane with the marks.

    `lanes` are the open lanes of this member alone: a partition that is paused but not among them (not ours any more,
    or not restored yet) is left as it is. `waiting_tokens` is what the batcher holds.
    """
    return PauseDecision(
        pause=frozenset(p for p, lane in lanes.items() if p not in paused and marks.must_pause(lane, waiting_tokens)),
        resume=frozenset(p for p, lane in lanes.items() if p in paused and marks.may_resume(lane, waiting_tokens)),
    )
