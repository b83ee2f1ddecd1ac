"""What always holds of pausing: lanes stay within their bounds, and what is paused goes on once it has drained."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consumer.stream.backpressure import LaneFill, PauseDecision, WaterMarks, decide

FILLS = st.builds(LaneFill, st.integers(0, 120), st.integers(0, 1200))
MARKS = st.builds(
    WaterMarks,
    high_records=st.integers(50, 100),
    low_records=st.integers(0, 20),
    high_bytes=st.integers(500, 1000),
    low_bytes=st.integers(0, 499),
    high_tokens=st.integers(500, 1000),
    low_tokens=st.integers(0, 499),
    poll_records=st.integers(1, 30),
)
LANES = st.dictionaries(st.integers(0, 5), FILLS)
PAUSED = st.sets(st.integers(0, 9))
TOKENS = st.integers(0, 1200)


@given(MARKS, LANES, PAUSED, TOKENS)
def test_only_what_is_ours_and_has_to_change_is_changed(
    marks: WaterMarks, lanes: dict[int, LaneFill], paused: set[int], tokens: int
) -> None:
    """Open lanes only; nothing is paused twice, resumed unpaused, or both at once; deciding again changes nothing."""
    decision = decide(marks, lanes, paused, tokens)
    assert decision.pause <= lanes.keys() - paused
    assert decision.resume <= lanes.keys() & paused
    after = (paused | decision.pause) - decision.resume
    assert decide(marks, lanes, after, tokens) == PauseDecision(frozenset(), frozenset())


@given(MARKS, LANES, PAUSED, TOKENS)
def test_above_a_high_mark_paused_and_below_all_low_marks_not(
    marks: WaterMarks, lanes: dict[int, LaneFill], paused: set[int], tokens: int
) -> None:
    """Between the marks everything stays as it was."""
    decision = decide(marks, lanes, paused, tokens)
    after = (paused | decision.pause) - decision.resume
    for partition, lane in lanes.items():
        above = (
            lane.records + marks.poll_records > marks.high_records
            or lane.bytes >= marks.high_bytes
            or tokens >= marks.high_tokens
        )
        drained = lane.records <= marks.low_records and lane.bytes <= marks.low_bytes and tokens <= marks.low_tokens
        assert not (above and drained)
        if above or drained:
            assert (partition in after) == above
        else:
            assert (partition in after) == (partition in paused)


@dataclass
class Held:
    """One record of a lane."""

    bytes: int
    tokens: int


class PollingMachine(RuleBasedStateMachine):
    """Polls deliver to whatever is not paused; records wait as tokens and are finished in any order."""

    @initialize(marks=MARKS)
    def start(self, marks: WaterMarks) -> None:
        """Three open lanes, and a paused partition whose lane is not open yet."""
        self.marks = marks
        self.lanes: dict[int, list[Held]] = {0: [], 1: [], 2: []}
        self.paused = {9}

    @rule(partition=st.integers(0, 2), count=st.integers(1, 30), size=st.integers(1, 40), tokens=st.integers(1, 40))
    def poll(self, partition: int, count: int, size: int, tokens: int) -> None:
        """One poll, all from one partition, as much as a poll may bring."""
        self._decide()
        if partition not in self.paused:
            self.lanes[partition] += [Held(size, tokens)] * min(count, self.marks.poll_records)

    @rule(partition=st.integers(0, 2), count=st.integers(1, 60))
    def finish(self, partition: int, count: int) -> None:
        """Records leave their lane."""
        del self.lanes[partition][:count]

    @rule()
    def drain(self) -> None:
        """Once all has been finished every lane reads again: nothing stays paused for ever."""
        for records in self.lanes.values():
            records.clear()
        self._decide()
        assert self.paused == {9}

    @invariant()
    def bounded(self) -> None:
        """Records never exceed their mark; bytes and tokens exceed theirs by a poll's at most."""
        if not hasattr(self, "marks"):
            return
        marks, one_poll = self.marks, self.marks.poll_records * 40
        assert all(len(records) <= marks.high_records for records in self.lanes.values())
        assert all(fill.bytes < marks.high_bytes + one_poll for fill in self._fills().values())
        assert self._tokens() < marks.high_tokens + one_poll

    def _fills(self) -> dict[int, LaneFill]:
        return {p: LaneFill(len(held), sum(h.bytes for h in held)) for p, held in self.lanes.items()}

    def _tokens(self) -> int:
        return sum(h.tokens for held in self.lanes.values() for h in held)

    def _decide(self) -> None:
        decision = decide(self.marks, self._fills(), self.paused, self._tokens())
        self.paused = (self.paused | decision.pause) - decision.resume


TestPollingMachine = PollingMachine.TestCase
TestPollingMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
