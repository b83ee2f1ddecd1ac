"""One summary of one restaurant on its way: what is asked, what has come back, what follows. Never waits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from consumer.analysis.answers import SummaryAnswer
from consumer.analysis.portions import joined, portions, reduce_task
from consumer.analysis.summary import Read, Standing, merge, summary_task
from consumer.analysis.task import Language, Polarity, Task
from consumer.analysis.text import language_of
from consumer.engines.estimate import count_tokens
from consumer.errors import DeadLetter

MAX_PROMPTS = 8
"""Prompts of one round: a restaurant with any number of new reviews is read in rounds, each with its own commit, and
takes no more of the engine and of memory than so many."""

REDUCE = -1
"""The number of the prompt that makes one paragraph of all portions."""


class Readable(Read, Protocol):
    """A review that a round reads."""

    @property
    def known_as(self) -> str:
        """Its name, the same in another process; a name of its own within its restaurant."""


R = TypeVar("R", bound=Readable)


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt of a round."""

    number: int
    """Of its portion, or REDUCE."""
    task: Task
    name: str
    """The same in another process that reads the same reviews."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What its result says of an answer."""

    truncated: bool
    cached: bool


class Round(Generic[R]):
    """Reads exactly these reviews, whatever arrives meanwhile: in one prompt with the last summary, or in several."""

    def __init__(
        self,
        restaurant: str,
        waiting: Sequence[R],
        override: Language | None,
        prompt_tokens: int,
        leaning: Callable[[R], Polarity | None] = lambda _: None,
    ) -> None:
        """`waiting`: its new reviews, oldest first, at least one. `prompt_tokens`: what their texts may weigh a prompt.

        `leaning`: what is known of a review beforehand.

        Tokens are estimated by characters: what is too heavy all the same is cut by the engine, and marked so.
        """
        cut = portions([count_tokens(review.text or "") for review in waiting], prompt_tokens, MAX_PROMPTS)
        self.restaurant = restaurant
        self.read = tuple(waiting[: cut[-1].stop])
        self.language = language_of([review.text or "" for review in self.read], override)
        self._leaning = leaning
        self.truncated = False
        self.cached = True
        """Whether every answer so far came from the result cache."""
        self.fault: DeadLetter | None = None
        """Why the round has failed, as a whole: nothing of it is used."""
        self._portions = [self.read[part] for part in cut]
        self._answers: dict[int, SummaryAnswer] = {}
        self._open = len(cut)
        self._answer: SummaryAnswer | None = None

    @property
    def answer(self) -> SummaryAnswer | None:
        """What was found in all of `read`, once the round is over and went well."""
        return self._answer

    @property
    def over(self) -> bool:
        """Whether nothing more is asked: it has an answer or a fault."""
        return self._answer is not None or (self.fault is not None and not self._open)

    @property
    def origin(self) -> object:
        """What its outputs are made from."""
        return ("summary", self.restaurant)

    def questions(self, last: Standing | None) -> list[Question]:
        """What is asked first: each portion, the only one together with the last summary."""
        last = last if len(self._portions) == 1 else None
        return [self._question(number, part, last) for number, part in enumerate(self._portions)]

    def take(self, number: int, answer: SummaryAnswer, last: Standing | None, marks: Marks) -> list[Question]:
        """Take in an answer. Gives what follows: after the last of several portions, their paragraph over `last`."""
        self.truncated |= marks.truncated
        self.cached &= marks.cached
        self._open -= 1
        self._answers[number] = answer
        if self.fault or self._open:
            return []
        if number == REDUCE or len(self._portions) == 1:
            self._answer = self._together()
            return []
        self._open = 1
        return [Question(REDUCE, self._reduce(last), self._name("reduce", self._portions[0]))]

    def fail(self, fault: DeadLetter) -> None:
        """One of its questions has failed for good; the others are waited for, so that nothing is asked twice."""
        self._open -= 1
        self.fault = self.fault or fault

    def _together(self) -> SummaryAnswer:
        if len(self._portions) == 1:
            return self._answers[0]
        found = [self._answers[number] for number in range(len(self._portions))]
        return joined([*found, self._answers[REDUCE]], [len(part) for part in self._portions])

    def _reduce(self, last: Standing | None) -> Task:
        found = [self._answers[number] for number in range(len(self._portions))]
        answer = joined(found, [len(part) for part in self._portions])
        merged = merge(last.positive if last else (), last.negative if last else (), answer, self.read)
        return reduce_task(merged, self.language)

    def _question(self, number: int, part: Sequence[R], last: Standing | None) -> Question:
        leanings = [self._leaning(review) for review in part]
        task = summary_task(last, [review.text or "" for review in part], self.language, leanings)
        return Question(number, task, self._name("summary", part))

    def _name(self, step: str, part: Sequence[R]) -> str:
        return f"{self.restaurant}/{step}/{part[0].known_as}"
