"""The gateway's pure parts, and its view on disk: events, room, keys, settings, what is forgotten."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from producer.errors import CannotGoOn
from producer.gateway.admission import Keys, Room
from producer.gateway.events import done_event, result_event, wants_events
from producer.gateway.view import View
from producer.gathering import Answer
from producer.kafka.tail import Received
from producer.settings import GatewaySettings, load_gateway
from schemas.batch import FailedRestaurant
from schemas.codec import encode, encode_document, group_key
from schemas.findings import AnalysisError
from schemas.http import RestaurantLatest
from schemas.results import Provenance, RestaurantStrengths, RestaurantSummary
from schemas.topics import TopicNames

NAMES = TopicNames()
PROVENANCE = Provenance(engine="local", model="m", prompt="p/1")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_event_is_one_event(text: str) -> None:
    """Whatever a message holds, line ends too: one id, one line of data, which reads back."""
    failed = FailedRestaurant(restaurant_id=1, error=AnalysisError(code="x", message=text))
    event = result_event(Answer(3, failed)).decode()
    assert event.startswith("event: result\nid: 3\ndata: ")
    assert event.endswith("\n\n")
    lines = [line for line in event.split("\n") if line]
    assert len(lines) == 3
    assert "\r" not in event
    assert json.loads(lines[2].removeprefix("data: "))["error"]["message"] == text


def test_the_last_event_and_who_wants_events() -> None:
    """`done` has the numbers; only a named media type asks for events."""
    assert done_event(2, 1) == b'event: done\ndata: {"count":2,"failed_count":1}\n\n'
    asked = ("text/event-stream", "application/json, Text/Event-Stream;q=0.9", "*/*", "", "text/event-streams")
    assert [wants_events(accept) for accept in asked] == [True, True, False, False, False]


class RoomMachine(RuleBasedStateMachine):
    """Room against plain counting."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(max_requests=3, max_bytes=10)
        self.held: list[int] = []

    @rule()
    def enter(self) -> None:
        """One more, where there are less than three."""
        assert self.room.enter() == (len(self.held) < 3)
        if len(self.held) < 3:
            self.held.append(0)

    @rule(size=st.integers(0, 6))
    def grow(self, size: int) -> None:
        """The last one's body grows, within ten bytes over all."""
        if self.held:
            fits = sum(self.held) + size <= 10
            assert self.room.grow(size) == fits
            self.held[-1] += size if fits else 0

    @rule()
    def leave(self) -> None:
        """The first one goes, with its bytes."""
        if self.held:
            self.room.leave(self.held.pop(0))

    @invariant()
    def same(self) -> None:
        """Both counts agree."""
        assert (self.room.requests, self.room.bytes) == (len(self.held), sum(self.held))


TestRoom = RoomMachine.TestCase


def test_keys() -> None:
    """Any of the keys, whole."""
    keys = Keys(["one", "zwei"])
    assert [keys.accept(given) for given in (b"one", b"zwei", b"", b"on", b"one ")] == [True, True, False, False, False]
    assert (keys.asked_for, Keys([]).asked_for) == (True, False)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"GATEWAY_PORT": "70000"}, "GATEWAY_PORT"),
        ({"GATEWAY_API_KEYS": " , "}, "GATEWAY_API_KEYS"),
        ({"GATEWAY_MAX_RESTAURANTS": "20", "GATEWAY_MAX_PENDING_RESTAURANTS": "10"}, "GATEWAY_MAX_RESTAURANTS"),
        ({"GATEWAY_MAX_BODY_BYTES": "4096", "GATEWAY_MAX_BYTES_IN_FLIGHT": "2048"}, "GATEWAY_MAX_BODY_BYTES"),
    ],
)
def test_wrong_settings_are_named(variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stops the start with its variable's name."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CannotGoOn, match=named):
        load_gateway()


def test_lists_in_settings() -> None:
    """Separated by commas, blanks around them left out; keys are not shown."""
    settings = GatewaySettings(api_keys=" a ,b,", cors_origins="https://x, https://y")  # type: ignore[arg-type]
    assert (settings.keys, settings.origins) == (("a", "b"), ("https://x", "https://y"))
    assert "a ,b" not in repr(settings)


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    """A view of the smallest size."""
    made = View(NAMES, tmp_path, 1024 * 1024)
    yield made
    made.close()
    assert not list(tmp_path.iterdir())


def record(topic: str, key: bytes | None, value: bytes | None) -> Received:
    """A record at some place."""
    return Received(topic, 0, 0, key, value, ())


def summary(restaurant: str | int, text: str = "good") -> Received:
    """A restaurant's summary."""
    model = RestaurantSummary(
        restaurant_id=restaurant, overall_summary=text, positive_aspects=(), negative_aspects=(), positive_count=0,
        negative_count=0, review_count=0, version=1, language="ko", provenance=PROVENANCE,
    )  # fmt: skip
    return record(NAMES.summary, str(restaurant).encode(), encode(model))


def strengths(restaurant: str, group: str, version: int) -> Received:
    """A restaurant's strengths in a group."""
    model = RestaurantStrengths(
        restaurant_id=restaurant, strengths=(), strength_summary=group, comparison_summary="", compared_with=0,
        comparison_group=group, version=version, provenance=PROVENANCE,
    )  # fmt: skip
    return record(NAMES.strength, group_key(group, restaurant), encode(model))


def known(view: View, restaurant: str) -> RestaurantLatest:
    """What is known; there must be something."""
    found = view.latest(restaurant)
    assert found is not None
    return found


def test_the_last_word_counts(view: View) -> None:
    """A later summary replaces an earlier one, a tombstone takes it away; the others stay."""
    view.take([summary(7, "old"), summary(7, "new"), strengths("7", "b", 3), strengths("7", "a", 2)])
    assert known(view, "7").summary == RestaurantSummary.model_validate_json(summary(7, "new").value or b"")
    assert (known(view, "7").strengths or strengths).version == 3  # type: ignore[union-attr]
    view.take([record(NAMES.strength, group_key("b", "7"), None)])
    assert (known(view, "7").strengths or strengths).version == 2  # type: ignore[union-attr]
    view.take([record(NAMES.strength, group_key("a", "7"), None), record(NAMES.summary, b"7", None)])
    assert (view.latest("7"), view.restaurants(), view.complete) == (None, 0, True)


def test_what_cannot_be_read_is_counted(view: View) -> None:
    """It takes nothing else with it."""
    wrong = [record(NAMES.summary, b"1", b"{"), record(NAMES.strength, b"no", None), record(NAMES.totals, None, b"{}")]
    view.take([*wrong, summary("2")])
    assert (view.unreadable, view.restaurants()) == (3, 1)
    assert encode_document({"a": 1}) == b'{"a":1}'


def test_a_full_view_forgets_the_least_recent(view: View, tmp_path: Path) -> None:
    """The file stays within its bound; the newest are known, and the view says that it is not complete."""
    for number in range(600):
        view.take([summary(number, "x" * 4000)])
    (file,) = tmp_path.rglob("view.sqlite3")
    assert file.stat().st_size <= 1024 * 1024
    assert (view.latest("0"), view.complete) == (None, False)
    assert known(view, "599").summary is not None
    assert 150 < view.restaurants() < 300
    assert view.restaurants() == view._db.execute("SELECT count(*) FROM written").fetchone()[0]
    view.take([summary("large", "x" * 300_000)])
    assert (view.latest("large"), view.unreadable) == (None, 1)
