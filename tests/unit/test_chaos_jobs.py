"""What is wrong with summaries and strengths is found, whatever it is; and nothing where all is well."""

import pytest

from tests.chaos.comparison import Problem
from tests.chaos.jobs import BEHIND, REPEATED, STALE, JobLedger, Made
from tests.chaos.report import Report


def _well() -> JobLedger:
    ledger = JobLedger()
    ledger.totals = {b"1": (2, 1, 4), b"gone": None}
    for version in (1, 2):
        ledger.summary(b"1", Made(f"summary/1/{version}", version, (version, 1, version + 2)))
    ledger.summary(b"gone", Made("summary/gone/1", 1, (1, 0, 1)))
    ledger.summary(b"gone", None)
    ledger.members = {b"g1": Made("summary/1/2", 2), b"old1": None}
    ledger.strength(b"g1", Made("strength/g1/1", 1))
    ledger.strength(b"g1", Made("strength/g1/2", 2))
    ledger.strength(b"g1", Made("strength/g1/2.1", 2))
    return ledger


def test_nothing_is_wrong_where_all_reflect_the_last_state() -> None:
    """A refresh has an id of its own; a tombstone is as good as nothing."""
    assert (_well().problems(), _well().owed()) == ([], [])
    assert _well().made == (1, 1)


def test_a_summary_that_counts_what_was_is_found() -> None:
    """One that is missing or that should be gone, too."""
    ledger = _well()
    ledger.totals[b"1"] = (1, 1, 3)
    ledger.totals[b"2"] = (1, 0, 1)
    ledger.summary(b"gone", Made("summary/gone/2", 2, (1, 0, 1)))
    (problem,) = ledger.problems()
    assert (problem.what, problem.count) == (STALE, 3)
    assert len(ledger.owed()) == 3


def test_strengths_of_another_summary_are_found() -> None:
    """And those of a member that has left."""
    ledger = _well()
    ledger.members[b"g1"] = Made("summary/1/3", 3)
    ledger.strength(b"old1", Made("strength/old1/1", 1))
    assert [(p.what, p.count) for p in ledger.problems()] == [(BEHIND, 2)]


@pytest.mark.parametrize(("delivery", "wrong"), [("exactly_once", 1), ("at_least_once", 0)])
def test_an_output_that_comes_twice_is_a_problem_in_exactly_once_alone(delivery: str, wrong: int) -> None:
    """By its id, whatever it says."""
    ledger = _well()
    ledger.summary(b"1", Made("summary/1/2", 2, (2, 1, 4)))
    found = ledger.problems()
    assert found == [Problem(REPEATED, 1, ("summary/1/2: 2 times",))]
    assert len(Report(delivery, 1, 1, found=found).problems()) == wrong
