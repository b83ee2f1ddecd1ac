"""Values that are made for every record."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, dataclass_transform

T = TypeVar("T")

if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True)
    def value(cls: type[T]) -> type[T]:
        """A dataclass of which nothing is changed once it is made: mypy sees to it.

        A frozen one sees to it at run time, and takes two to four times as long to make. A record needs a dozen.
        """

else:
    value = dataclass(slots=True, unsafe_hash=True)
