"""Tasks become prompts that fit: counted and cut in a model's own tokens, or in estimated ones.

Pure, and slow for long texts: engines call it in a thread.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from consumer.analysis.answers import longest_text
from consumer.analysis.task import Kind, Task
from consumer.engines.contract import BudgetTooSmall, Prepared
from consumer.engines.rendering import EMPTY, Prompt, Voice
from consumer.engines.truncation import cut, fair_caps
from consumer.errors import ConfigError

Encode = Callable[[Sequence[str]], Sequence[Sequence[int]]]
"""Token ids of each text, without special tokens at its ends. Where only lengths are known, any ids of that length."""

READ_PER_TOKEN = 16
"""Characters of a text that are read per token of room: ordinary text has no longer tokens, huge texts cost time."""
MARGIN = 1.1
"""For answers whose words cost more tokens than the ordinary ones."""
_ORDINARY = "고기가 두툼하고 육즙이 풍부하며 직원이 끝까지 친절하게 구워 준다. "


@dataclass(frozen=True, slots=True)
class Fitted:
    """A task cut to fit, its prompt, and the tokens of that prompt's two parts."""

    task: Task
    prompt: Prompt
    head: Sequence[int]
    tail: Sequence[int]
    answer: int
    """Tokens that the answer may take."""
    truncated: bool


class Fitter:
    """Fits tasks into the smaller of a model's context and a budget, cutting nothing but review text."""

    def __init__(self, voice: Voice, encode: Encode, context: int) -> None:
        self._voice, self._encode, self._context = voice, encode, context
        self._heads: dict[str, Sequence[int]] = {}
        self.answers: Mapping[Kind, int] = {kind: self._longest_answer(kind) for kind in Kind}
        """Tokens of the longest answer to each kind, its texts in ordinary Korean."""

    def fit(self, tasks: Sequence[Task], budget: int) -> list[Fitted]:
        """In order. Raises BudgetTooSmall when the budget does not hold a task with its review text left out."""
        limit = min(self._context, budget)
        read = [self._read(task, limit) for task in tasks]
        prompts = [self._voice.prompt(task) for task in read]
        tails = self._encode([prompt.tail for prompt in prompts])
        return [
            self._fitted(task, its, prompt, tail, limit)
            for task, its, prompt, tail in zip(tasks, read, prompts, tails, strict=True)
        ]

    def require_room(self, budget: int, setting: str) -> None:
        """Raise ConfigError where a kind of task finds no room at all; `setting`: what the budget was set by."""
        for kind, task in EMPTY.items():
            prompt = self._voice.prompt(replace(task, strict=True))
            least = len(self._head(prompt)) + len(self._one(prompt.tail)) + self.answers[kind]
            for what, room in ((setting, budget), ("the model's context", self._context)):
                if room < least:
                    raise ConfigError(f"{what} of {room} tokens is too small: a {kind} takes {least} without any text")

    def _fitted(self, asked: Task, task: Task, prompt: Prompt, tail: Sequence[int], limit: int) -> Fitted:
        head, answer = self._head(prompt), self.answers[task.kind]
        room = limit - len(head) - answer
        if len(tail) > room:
            task, prompt, tail = self._cut(task, room)
        return Fitted(task, prompt, head, tail, answer, truncated=task.reviews != asked.reviews)

    def _read(self, task: Task, limit: int) -> Task:
        """Without the middle of texts that are far too long, so that their tokens need not be counted."""
        most = READ_PER_TOKEN * limit
        if all(len(text) <= most for text in task.reviews):
            return task
        return replace(task, reviews=tuple(cut(text, most, len) for text in task.reviews))

    def _cut(self, task: Task, room: int) -> tuple[Task, Prompt, Sequence[int]]:
        """The texts share what is left beside them. Tokens at the seams differ a little: so it is tried."""
        without = replace(task, reviews=("",) * len(task.reviews))
        spare = room - len(self._one(self._voice.prompt(without).tail))
        lengths = [len(ids) for ids in self._encode(task.reviews)]
        while spare >= 0:
            caps = fair_caps(lengths, spare)
            texts = (cut(text, cap, self._count) for text, cap in zip(task.reviews, caps, strict=True))
            shorter = replace(task, reviews=tuple(texts))
            prompt = self._voice.prompt(shorter)
            tail = self._one(prompt.tail)
            if len(tail) <= room:
                return shorter, prompt, tail
            spare = max(0, spare - len(tail) + room) if spare else -1
        raise BudgetTooSmall(f"the token budget does not hold a {task.kind} even without review text")

    def _head(self, prompt: Prompt) -> Sequence[int]:
        if prompt.name not in self._heads:
            self._heads[prompt.name] = self._one(prompt.head)
        return self._heads[prompt.name]

    def _longest_answer(self, kind: Kind) -> int:
        return 1 if kind is Kind.SENTIMENT else round(MARGIN * self._count(longest_text(kind, _ORDINARY)))

    def _one(self, text: str) -> Sequence[int]:
        return self._encode([text])[0]

    def _count(self, text: str) -> int:
        return len(self._one(text))


def prepared(fitted: Fitted, payload: object, block: int) -> Prepared:
    """As the contract has it. `block`: tokens of a block of the prefix cache, 0 without one."""
    cached = len(fitted.head) // block * block if block else 0
    own = len(fitted.head) - cached + len(fitted.tail) + fitted.answer
    return Prepared(fitted.task, own, fitted.prompt.name, cached, fitted.truncated, payload)
