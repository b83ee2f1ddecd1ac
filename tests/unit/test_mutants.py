"""The list of guards is current: `make mutants` can remove each of them, and its test exists."""

import ast
from pathlib import Path

import pytest

from tests.mutants.guards import GUARDS, Guard

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.file}-{guard.invariant}")
def test_each_guard_stands_once_and_has_its_test(guard: Guard) -> None:
    """A line that was rewritten must be rewritten there too."""
    assert (ROOT / guard.file).read_text(encoding="utf-8").count(guard.old) == 1
    mutant = (ROOT / guard.file).read_text(encoding="utf-8").replace(guard.old, guard.new)
    ast.parse(mutant)
    file, _, name = guard.test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8") if name else (ROOT / file).is_file()
