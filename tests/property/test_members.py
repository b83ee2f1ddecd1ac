"""The table of a group's members against a plain one: who is in it, and whether a basis has changed."""

from hypothesis import given
from hypothesis import strategies as st

from consumer.stream.members import Basis, Debounce, Member, Members
from consumer.stream.state import StrengthState
from schemas.results import Provenance, RestaurantSummary

steps = st.lists(
    st.tuples(st.sampled_from(["", "g", "h"]), st.sampled_from("abcd"), st.none() | st.integers(1, 4)), max_size=30
)


def summary(restaurant: str, version: int) -> RestaurantSummary:
    """One that says nothing."""
    return RestaurantSummary(
        restaurant_id=restaurant,
        overall_summary="text",
        positive_aspects=(),
        negative_aspects=(),
        positive_count=0,
        negative_count=0,
        review_count=0,
        version=version,
        language="ko",
        provenance=Provenance(engine="e", model="m", prompt="p"),
    )


def _filled(done: list[tuple[str, str, int | None]]) -> tuple[Members, dict[Member, int]]:
    table, plain = Members(), dict[Member, int]()
    for group, restaurant, version in done:
        if version is None:
            table.remove((group, restaurant))
            plain.pop((group, restaurant), None)
        else:
            table.put((group, restaurant), summary(restaurant, version))
            plain[group, restaurant] = version
    return table, plain


def _others(plain: dict[Member, int], member: Member) -> dict[Member, int]:
    return {m: v for m, v in plain.items() if m[0] == member[0] and m != member and m[0]}


@given(steps)
def test_it_holds_what_a_plain_table_holds(done: list[tuple[str, str, int | None]]) -> None:
    """Members, their summaries, and whom each is compared with."""
    table, plain = _filled(done)
    assert sorted(table) == sorted(plain)
    for member, version in plain.items():
        found, basis = table.get(member), table.basis(member)
        assert found
        assert basis
        assert found.version == basis.version == version
        others = _others(plain, member)
        assert sorted(table.compared(member)) == sorted(restaurant for _, restaurant in others)
        assert sorted(other.version for other in table.others(member)) == sorted(others.values())
        assert basis.changes == sum(others.values())
    assert table.basis(("g", "nobody")) is None
    assert table.get(("nowhere", "a")) is None


@given(steps, steps)
def test_a_basis_is_the_same_exactly_where_the_others_are(
    one: list[tuple[str, str, int | None]], other: list[tuple[str, str, int | None]]
) -> None:
    """However they came to be so: read from the topic in another order, or one change after the other."""
    (first, plain), (second, also) = _filled(one), _filled(other)
    for member in {*plain} & {*also}:
        same = plain[member] == also[member] and _others(plain, member) == _others(also, member)
        assert (first.basis(member) == second.basis(member)) is same


RULES = Debounce(refresh_members=3, max_age=60)


def test_a_member_without_strengths_is_due_at_once() -> None:
    """And one whose own summary has changed."""
    assert RULES.due(Basis(1, "", 0), StrengthState(), 100) == 100
    assert RULES.due(Basis(2, "x", 5), StrengthState(1, others="x", changes=5), 100) == 100


def test_nothing_is_due_where_nothing_has_changed() -> None:
    """Also after a restart: the state says what they came from."""
    assert RULES.due(Basis(1, "x", 5), StrengthState(1, others="x", changes=5), 100) is None


def test_others_changes_wait_until_they_are_enough_or_old() -> None:
    """Those that leave count too."""
    last = StrengthState(1, others="x", changes=5)
    assert RULES.due(Basis(1, "y", 7), last, 100) == 160
    assert RULES.due(Basis(1, "y", 8), last, 100) == 100
    assert RULES.due(Basis(1, "y", 2), last, 100) == 100
    assert RULES.due(Basis(1, "y", 5), last, 100) == 160


def test_a_parked_one_waits_for_its_next_summary() -> None:
    """Whatever the others do."""
    last = StrengthState(1, others="x", changes=5, tried=2, failures=5, parked="engine_error: no")
    assert RULES.due(Basis(2, "y", 99), last, 100) is None
    assert RULES.due(Basis(3, "y", 99), last, 100) == 100
