"""Metrics that are worked out when the page is read, from the last thing that was told."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import REGISTRY, Metric
from prometheus_client.registry import Collector

from consumer.hooks import declared
from consumer.hooks.events import Event, What
from consumer.hooks.health import Health
from consumer.hooks.lanes import LaneView


class Lanes(Collector):
    """A listener that keeps the last look at this member's partitions. Those that left have no series any more."""

    def __init__(self) -> None:
        self.last: Sequence[LaneView] = ()
        """Replaced whole: any thread may read it."""

    def __call__(self, event: Event) -> None:
        """Keep the newest look."""
        if event.what is What.LANES:
            self.last = event.lanes

    def collect(self) -> Iterable[Metric]:
        """What is counted by partition."""
        lanes = self.last
        paused = Counter((lane.topic, lane.paused) for lane in lanes if lane.paused)
        yield declared.LAG_RECORDS.family((_place(lane), lane.lag) for lane in lanes if lane.lag is not None)
        yield declared.LAG_SECONDS.family((_place(lane), lane.lag_seconds) for lane in lanes if lane.lag is not None)
        yield declared.OLDEST_WAITING_REVIEW.family([((), max((lane.unanswered_age for lane in lanes), default=0.0))])
        yield declared.PAUSED_PARTITIONS.family(paused.items())
        yield declared.STATE_BYTES.family((_place(lane), lane.state_bytes) for lane in lanes)


def _place(lane: LaneView) -> tuple[str, str]:
    return lane.topic, str(lane.partition)


class EngineTime(Collector):
    """A listener that adds up what the engine does, by the state that it was in since the last event."""

    STATES = ("busy", "idle", "held", "down")

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, never going back."""
        self._clock = clock
        self._running = self._waiting = 0
        self._up = False
        self._sum: tuple[str, float, Mapping[str, float]] = "down", clock(), dict.fromkeys(self.STATES, 0.0)
        """State, since when, and the seconds before. Replaced whole: any thread may read it."""

    def __call__(self, event: Event) -> None:
        """Note what changes the state."""
        match event.what:
            case What.ENGINE_UP:
                self._up = True
            case What.ENGINE_DOWN:
                self._up = False
            case What.BATCH_STARTED:
                self._running += 1
            case What.BATCH_ENDED:
                self._running -= 1
            case What.WAITING:
                self._waiting = event.count
            case _:
                return
        state, (before, _, _) = self._state(), self._sum
        if state != before:
            now = self._clock()
            self._sum = state, now, self._seconds(now)

    def collect(self) -> Iterable[Metric]:
        """Until now."""
        yield declared.ENGINE_TIME.family(((s,), seconds) for s, seconds in self._seconds(self._clock()).items())

    def _state(self) -> str:
        if not self._up:
            return "down"
        if self._running:
            return "busy"
        return "held" if self._waiting else "idle"

    def _seconds(self, now: float) -> Mapping[str, float]:
        state, since, before = self._sum
        return {**before, state: before[state] + now - since}


class HealthPage(Collector):
    """What /readyz and /livez go by."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterable[Metric]:
        """As it is now."""
        yield declared.READY.family([((), float(self._health.ready()[0]))])
        yield declared.POLL_AGE.family([((), self._health.poll_age)])
        yield declared.EVENT_LOOP_LAG.family([((), self._health.late)])


class VllmMetrics(Collector):
    """vLLM's own, which it registers with prometheus_client's default registry, in this process."""

    def collect(self) -> Iterable[Metric]:
        """Those alone: the rest of that registry is on the page already."""
        return (family for family in REGISTRY.collect() if family.name.startswith("vllm:"))
