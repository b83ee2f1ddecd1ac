"""Dead letters read back: what they were, which are meant, and that each is replayed once, whatever is selected."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import DeadLetter
from consumer.pipeline.outputs import dead_letter
from consumer.stream.letters import (
    Letter,
    Replayed,
    Replaying,
    Selection,
    Tally,
    parse_selection,
    read_letter,
)
from consumer.stream.record import Partition, is_escaped
from schemas.topics import KeyPartitioner, murmur2_partition
from tests.unit.records import FakeRecord

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = st.sampled_from(["a", "이름", "traceparent", "\udcff"])
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=5)), max_size=3).map(tuple)
RECORDS = st.builds(
    FakeRecord,
    partition=st.integers(0, 5),
    offset=st.integers(0, 10**12),
    timestamp=st.integers(-1, 2**40),
    key=st.none() | st.binary(max_size=5),
    value=st.none() | st.binary(max_size=5),
    headers=HEADERS,
)
REASONS = st.sampled_from(["not_json", "engine_error", "engine_timeout", "ä=&"])
MOMENTS = st.integers(0, 20).map(lambda n: START + timedelta(seconds=n))
SELECTIONS = st.builds(
    Selection,
    reasons=st.frozensets(REASONS, max_size=2),
    since=st.none() | MOMENTS,
    until=st.none() | MOMENTS,
    key=st.none() | st.sampled_from([b"", b"1", b"\xff"]),
    below_attempts=st.none() | st.integers(1, 9),
)
LETTERS = st.builds(
    Letter,
    place=st.tuples(st.integers(0, 1), st.integers(0, 30)),
    reason=REASONS,
    error=st.just("e"),
    attempts=st.integers(0, 10),
    source=st.none() | st.builds(Partition, st.sampled_from(["reviews", "other"]), st.integers(0, 9)),
    source_offset=st.integers(0, 9),
    failed_at=st.none() | MOMENTS,
    service=st.just("s"),
    key=st.sampled_from([None, b"", b"1", b"\xff"]),
    value=st.just(b"v"),
    headers=st.just(()),
    timestamp=st.integers(-1, 9),
)


@given(RECORDS, REASONS, st.integers(1, 99))
def test_a_dead_letter_is_read_back_as_the_record_it_was(record: FakeRecord, reason: str, attempts: int) -> None:
    """Byte for byte, its headers too, and the time to the microsecond."""
    now = START.timestamp() + 0.5
    made = dead_letter("dlq", record, DeadLetter(reason, "why"), attempts, now)
    kept = FakeRecord("dlq", 3, 77, record.timestamp, made.key, made.value, made.headers)
    letter = read_letter(kept)
    assert (letter.key, letter.value, letter.headers, letter.timestamp) == (
        record.key,
        record.value,
        record.headers,
        record.timestamp,
    )
    assert (letter.reason, letter.error, letter.attempts, letter.place) == (reason, "why", attempts, (3, 77))
    assert (letter.source, letter.source_offset) == (Partition(record.topic, record.partition), record.offset)
    assert letter.failed_at == START + timedelta(seconds=0.5)


OURS = st.sampled_from(["dlq.source", "dlq.headers", "dlq.failed_at", "dlq.attempts", "x"])
ODD = st.sampled_from([b"a/1/2", b"a/1/" + b"9" * 400, b"[]", b"2026-01-01", b"9" * 5000])


@given(st.lists(st.tuples(OURS, st.none() | st.binary(max_size=30) | ODD)))
def test_whatever_lies_among_the_dead_letters_can_be_read(headers: list[tuple[str, bytes]]) -> None:
    """Strangers' records too."""
    letter = read_letter(FakeRecord(headers=tuple(headers)))
    assert letter.attempts < 10**9
    assert letter.failed_at is None or letter.failed_at.tzinfo


@given(SELECTIONS)
def test_a_selection_is_read_back_from_its_name(selection: Selection) -> None:
    """So that a later run knows what an earlier one did."""
    assert parse_selection(selection.name()) == selection


@pytest.mark.parametrize("name", ["", "reason", "colour=red", "since=yesterday", "attempts=x", "key=zz"])
def test_what_is_no_name_of_a_selection_is_not_guessed_about(name: str) -> None:
    """A newer version may select by more."""
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        parse_selection(name)


@given(st.lists(LETTERS, unique_by=lambda letter: letter.place), st.lists(SELECTIONS, max_size=4), st.data())
def test_each_letter_is_replayed_at_most_once_and_every_one_that_is_meant(
    letters: list[Letter], selections: list[Selection], data: st.DataObject
) -> None:
    """Runs of several selections one after another, each stopped anywhere, some of them run again."""
    progress: dict[Selection, dict[int, int]] = {}
    replayed: list[Letter] = []
    for selection in [*selections, *selections]:
        known = Replayed([(other, at) for other, at in progress.items() if other != selection])
        at = progress.setdefault(selection, {})
        for partition in (0, 1):
            ordered = sorted(one for one in (x.place for x in letters) if one[0] == partition)
            stop = data.draw(st.integers(0, 31))
            by_place = {letter.place: letter for letter in letters}
            for place in ordered:
                if at.get(partition, 0) <= place[1] < stop:
                    letter = by_place[place]
                    if selection.matches(letter) and not known.holds(letter):
                        replayed.append(letter)
            at[partition] = max(at.get(partition, 0), stop)
    places = [letter.place for letter in replayed]
    assert len(places) == len(set(places))
    done = Replayed(list(progress.items()))
    assert {letter.place for letter in letters if done.holds(letter)} == set(places)


@given(LETTERS, st.sampled_from(list(KeyPartitioner)))
def test_a_replay_is_the_original_with_its_attempts(letter: Letter, kind: KeyPartitioner) -> None:
    """At the place of its key where keys have one, else where it lay; what came from elsewhere stays."""
    output = Replaying({"reviews": 4, "requests": 2}, "reviews", kind).replay(letter)
    if letter.source is None or letter.source.topic != "reviews":
        assert output is None
        return
    assert output is not None
    assert (output.topic, output.key, output.value) == ("reviews", letter.key, letter.value)
    assert output.headers == (("dlq.attempts", str(letter.attempts).encode()),)
    assert output.timestamp == (letter.timestamp if letter.timestamp >= 0 else None)
    if letter.key and kind is KeyPartitioner.MURMUR2:
        assert output.place == murmur2_partition(letter.key, 4)
    elif kind is KeyPartitioner.ANY and letter.source.partition < 4:
        assert output.place == letter.source.partition
    assert not isinstance(output.place, int) or 0 <= output.place < 4


@given(HEADERS)
def test_a_replay_leaves_out_headers_that_nobody_can_write(headers: tuple[tuple[str, bytes], ...]) -> None:
    """The others stay, in order."""
    letter = read_letter(FakeRecord(headers=(*headers, ("dlq.source", b"reviews/0/1"))))
    output = Replaying({"reviews": 1}, "reviews", KeyPartitioner.ANY).replay(letter)
    assert output is not None
    assert output.headers[:-1] == tuple(pair for pair in headers if not is_escaped(pair[0]))


@given(st.lists(LETTERS))
def test_a_tally_counts_each_letter_once(letters: list[Letter]) -> None:
    """With the oldest and the newest of each reason."""
    tally = Tally()
    for letter in letters:
        tally.add(letter, replayed=letter.attempts > 3)
    assert tally.count == len(letters)
    for (reason, topic), found in tally.reasons.items():
        same = [x for x in letters if (x.reason, x.source.topic if x.source else "") == (reason, topic)]
        times = [x.failed_at for x in same if x.failed_at]
        assert found.count == len(same)
        assert found.replayed == sum(x.attempts > 3 for x in same)
        assert (found.oldest, found.newest) == (min(times, default=None), max(times, default=None))
        assert found.last in {x.place for x in same}
