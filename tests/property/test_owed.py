"""Jobs: at most one a key, at most so many at once, none forgotten, earliest due first."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consumer.stream.owed import Owed

KEYS = st.sampled_from("abcdef")
MOST = 2


class OwedMachine(RuleBasedStateMachine):
    """Against a dictionary of what is due and a set of what runs."""

    def __init__(self) -> None:
        """Nothing owed at second 0."""
        super().__init__()
        self.owed: Owed[str] = Owed(MOST)
        self.due: dict[str, float] = {}
        self.running: set[str] = set()
        self.now = 0.0

    @rule(key=KEYS, wait=st.floats(0, 10))
    def owe(self, key: str, wait: float) -> None:
        """The earlier time stands."""
        self.owed.owe(key, self.now + wait)
        self.due[key] = min(self.due.get(key, float("inf")), self.now + wait)

    @rule(key=KEYS, wait=st.floats(0, 10))
    def schedule(self, key: str, wait: float) -> None:
        """A later time stands too."""
        self.owed.schedule(key, self.now + wait)
        self.due[key] = self.now + wait

    @rule(key=KEYS)
    def settle(self, key: str) -> None:
        """Nothing is owed any more."""
        self.owed.settle(key)
        self.due.pop(key, None)

    @rule(key=KEYS)
    def finish(self, key: str) -> None:
        """The job has ended."""
        self.owed.finish(key)
        self.running.discard(key)

    @rule(wait=st.floats(0, 10))
    def start(self, wait: float) -> None:
        """Exactly the due keys that do not run, earliest first, as many as may run."""
        self.now += wait
        ready = sorted((due, key) for key, due in self.due.items() if due <= self.now and key not in self.running)
        started = self.owed.start(self.now)
        assert len(started) == min(len(ready), MOST - len(self.running))
        assert [self.due[key] for key in started] == [due for due, _ in ready][: len(started)]
        for key in started:
            assert key not in self.running
            del self.due[key]
            self.running.add(key)

    @invariant()
    def tells_when(self) -> None:
        """`next_due` is the time of the first that may start."""
        waiting = [due for key, due in self.due.items() if key not in self.running]
        expected = min(waiting, default=None) if len(self.running) < MOST else None
        assert self.owed.next_due() == expected
        assert len(self.owed) == len(self.due.keys() | self.running)
        assert self.owed.running == len(self.running)


TestOwedMachine = OwedMachine.TestCase
TestOwedMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
