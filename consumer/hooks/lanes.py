"""What an operator sees of one partition: a value, made anew at each look and never changed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneView:
    """One partition of this member. Ages are seconds."""

    topic: str
    partition: int
    state: str
    """`opening`, `open`, `refused` or `closed`."""
    paused: str
    """Why it is not fetched: `opening`, `refused`, `full`, `busy` or `stopped`; empty where it is."""
    committed: int | None
    """The offset to go on from; None where it is not known yet, or nothing was ever committed."""
    end: int | None
    """The end of the partition, as last heard."""
    lag: int | None
    """Offsets between the two; 0 where only transaction markers are left."""
    lag_seconds: float
    """Age by its Kafka timestamp of the oldest record that is not committed; where that was not fetched yet, how long
    it is known to be there."""
    in_flight: int
    """Records that were taken and are not committed."""
    in_flight_bytes: int
    oldest_offset: int | None
    """Of the oldest of them."""
    oldest_age: float
    """Since it was taken."""
    oldest_stage: str
    """Where it is: `new`, `preparing`, `waiting`, `engine`, `retry`, `apart`, `suspect`, `publish`; empty: unknown."""
    unanswered_age: float
    """Since the oldest was taken that has no answer; 0 where all have one."""
    trouble: str
    """Why its last commit did not succeed, or why it is refused; empty where all is well."""
    state_bytes: int
    """Of its local state."""
