"""The comparison finds what is wrong: a harness that cannot fail would be worth nothing."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import Sentiment
from tests.chaos import comparison
from tests.chaos.comparison import (
    ALTERED,
    DISORDERED,
    DOUBLED,
    LOST,
    MISJUDGED,
    NO_REVIEW,
    TOTALS,
    UNKNOWN,
    WRONG,
    Input,
    Ledger,
    Letter,
    Place,
    Problem,
    Result,
    Watermarks,
    differing_totals,
)
from tests.chaos.report import Report

POSITIVE, NEGATIVE = Sentiment.POSITIVE, Sentiment.NEGATIVE


def an_input(partition: int, offset: int) -> Input:
    """Every fifth is poison, every seventh a deletion; three keys a partition."""
    place, key = Place(partition, offset), f"{partition}-{offset % 3}".encode()
    if offset % 5 == 4:
        return Input(place, key, NO_REVIEW, fingerprint=offset)
    label = None if offset % 7 == 6 else [POSITIVE, NEGATIVE][offset % 2]
    return Input(place, key, 1000 * partition + offset, label)


INPUTS = [an_input(partition, offset) for partition in range(2) for offset in range(30)]


def output_of(given: Input) -> Result | Letter:
    """What a faultless consumer makes of it."""
    if given.fingerprint is not None:
        return Letter(0, given.place, given.fingerprint, "not_json")
    analyzed = given.label is not None
    return Result(given.place.partition, given.place, given.review, analyzed, given.label)


OUTPUTS = [output_of(given) for given in INPUTS]


def problems(outputs: list[Result | Letter]) -> dict[str, int]:
    """Kind → count, of these outputs against INPUTS."""
    ledger = Ledger()
    for expected in INPUTS:
        ledger.enter(expected)
    for output in outputs:
        if isinstance(output, Result):
            ledger.result(output)
        else:
            ledger.letter(output)
    return {problem.what: problem.count for problem in ledger.problems()}


def test_a_faultless_run_has_no_problems() -> None:
    """Results and dead letters, each once, in order."""
    assert problems(OUTPUTS) == {}


@given(st.integers(0, len(OUTPUTS) - 1))
def test_a_lost_output_is_found(index: int) -> None:
    """Whichever it is."""
    assert problems(OUTPUTS[:index] + OUTPUTS[index + 1 :]) == {LOST: 1}


@given(st.integers(0, len(OUTPUTS) - 1), st.integers(0, len(OUTPUTS)))
def test_a_doubled_output_is_found_wherever_the_second_is(index: int, at: int) -> None:
    """After the first it is doubled; before it, it is out of order too where others of its key lie between."""
    found = problems([*OUTPUTS[:at], OUTPUTS[index], *OUTPUTS[at:]])
    assert found.pop(DOUBLED) == 1
    assert set(found) <= {DISORDERED}
    if at > index:
        assert not found


def test_three_outputs_are_two_too_many_and_a_letter_beside_a_result_is_one() -> None:
    """Every surplus output counts."""
    assert problems([*OUTPUTS, OUTPUTS[0], OUTPUTS[0]]) == {DOUBLED: 2}
    assert problems([Letter(0, INPUTS[0].place, 1, "engine_error"), *OUTPUTS]) == {DOUBLED: 1, MISJUDGED: 1}


def test_two_results_of_one_key_that_change_places_are_found() -> None:
    """And two of different keys are not: order is promised by key."""
    same = [n for n, given in enumerate(INPUTS) if given.key == b"0-0" and given.fingerprint is None]
    swapped = list(OUTPUTS)
    swapped[same[0]], swapped[same[1]] = swapped[same[1]], swapped[same[0]]
    assert problems(swapped) == {DISORDERED: 1}
    swapped = list(OUTPUTS)
    swapped[0], swapped[1] = swapped[1], swapped[0]
    assert problems(swapped) == {}


def test_a_repeat_after_later_ones_is_no_disorder() -> None:
    """At least once repeats: what counts is when each appeared first."""
    assert problems([*OUTPUTS[:20], *OUTPUTS[10:20], *OUTPUTS[20:]]) == {DOUBLED: 10}


@pytest.mark.parametrize("change", [{"review": 77}, {"label": NEGATIVE}, {"partition": 1}, {"label": None}])
def test_a_result_that_is_not_its_records_is_found(change: dict[str, object]) -> None:
    """Another review's id, another label, another partition."""
    assert isinstance(OUTPUTS[0], Result)
    assert problems([replace(OUTPUTS[0], **change), *OUTPUTS[1:]]) == {WRONG: 1}  # type: ignore[arg-type]


def test_a_label_for_a_deleted_review_is_found() -> None:
    """It has no text that one could have been made from."""
    (index, *_) = (n for n, given in enumerate(INPUTS) if given.label is None and given.fingerprint is None)
    output = OUTPUTS[index]
    assert isinstance(output, Result)
    wrong = replace(output, analyzed=True, label=POSITIVE)
    assert problems([*OUTPUTS[:index], wrong, *OUTPUTS[index + 1 :]]) == {WRONG: 1}


def test_a_review_that_became_a_dead_letter_and_poison_with_a_result_are_found() -> None:
    """Each record has one right fate."""
    letter, poison = Letter(0, INPUTS[0].place, 1, "engine_error"), OUTPUTS[4]
    assert problems([letter, *OUTPUTS[1:]]) == {MISJUDGED: 1}
    result = Result(0, poison.source, NO_REVIEW, analyzed=False, label=None)
    assert problems([*OUTPUTS[:4], result, *OUTPUTS[5:]]) == {MISJUDGED: 1}


def test_an_altered_dead_letter_is_found() -> None:
    """Byte for byte, says invariant 8."""
    letter = OUTPUTS[4]
    assert isinstance(letter, Letter)
    assert problems([*OUTPUTS[:4], replace(letter, fingerprint=99), *OUTPUTS[5:]]) == {ALTERED: 1}


@pytest.mark.parametrize("place", [Place(0, 30), Place(9, 0)])
def test_an_output_of_no_record_is_found(place: Place) -> None:
    """Beyond the end, or of a partition that is not there."""
    assert problems([*OUTPUTS, Result(0, place, 1, analyzed=False, label=None)]) == {UNKNOWN: 1}


def test_offsets_may_have_gaps_but_never_go_back() -> None:
    """The input is read in order."""
    ledger = Ledger()
    for offset in (3, 7, 20):
        ledger.enter(Input(Place(0, offset), b"k", offset, POSITIVE))
    ledger.result(Result(0, Place(0, 7), 7, analyzed=True, label=POSITIVE))
    assert [(p.what, p.count) for p in ledger.problems()] == [(LOST, 2)]
    with pytest.raises(ValueError, match="comes after offset 20"):
        ledger.enter(Input(Place(0, 20), b"k", 1))


def test_problems_are_named_but_not_without_end() -> None:
    """The first few of each kind."""
    ledger = Ledger()
    for expected in INPUTS:
        ledger.enter(expected)
    (problem,) = ledger.problems()
    assert (problem.count, problem.examples[0], len(problem.examples)) == (60, "0/0", comparison.EXAMPLES)


def test_totals_are_the_last_event_of_each_review() -> None:
    """An edit replaces, a deletion takes away, poison counts nothing."""
    ledger = Ledger()
    events = [(1, POSITIVE), (2, POSITIVE), (1, NEGATIVE), (2, None), (3, POSITIVE)]
    for offset, (review, label) in enumerate(events):
        ledger.enter(Input(Place(0, offset), b"r", review, label))
    ledger.enter(Input(Place(0, 9), b"r", NO_REVIEW, fingerprint=1))
    ledger.enter(Input(Place(1, 0), b"gone", 9, None))
    expected = ledger.totals()
    assert expected == {b"r": Counter({NEGATIVE: 1, POSITIVE: 1}), b"gone": Counter()}
    assert differing_totals(expected, {b"r": Counter({NEGATIVE: 1, POSITIVE: 1})}) is None
    wrong = differing_totals(expected, {b"r": Counter({POSITIVE: 2}), b"other": Counter({POSITIVE: 1})})
    assert wrong == Problem(
        TOTALS,
        2,
        ("other: 1/0/0, recounted 0/0/0", "r: 2/0/0, recounted 1/1/0"),
    )


def test_committed_offsets_that_go_back_are_found() -> None:
    """A partition that is missing from a sample is not one that went back."""
    watermarks = Watermarks()
    for sample in ({("t", 0): 5, ("t", 1): 5}, {("t", 1): 6}, {("t", 0): 5}, {("t", 0): 4}):
        watermarks.seen(sample)
    assert watermarks.fallbacks == ["t/0 from 5 to 4"]


@pytest.mark.parametrize(("delivery", "wrong"), [("exactly_once", 1), ("at_least_once", 0)])
def test_doubled_is_a_problem_in_exactly_once_alone(delivery: str, wrong: int) -> None:
    """In at_least_once it is counted and shown."""
    report = Report(delivery, 1, 1, found=[Problem(DOUBLED, 3, ("0/1: 4 outputs",))])
    assert len(report.problems()) == wrong
    assert ("doubled", 3) in report.rows()


def test_anything_else_is_a_problem_in_both() -> None:
    """What was lost, and what a member said at its end."""
    report = Report("at_least_once", 1, 1, found=[Problem(LOST, 2, ("0/1", "0/2"))], failures=["member 3 ended"])
    assert report.problems() == ["2 lost, such as 0/1; 0/2", "member 3 ended"]
    assert report.document()["lost"] == 2
