"""How a task is put to a language model: as a completion, or in the model's own chat form. Shared part first.

The prompts themselves are the analysis's. Here they are only cut in two, so that the part that all tasks of a kind
share stands first, word for word the same, and an engine's prefix cache finds it; the review's text comes last.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consumer.analysis import prompts
from consumer.analysis.task import AspectName, Claim, Kind, Task
from schemas.base import Sentiment

WORDS: Mapping[Sentiment, str] = {label: label.value for label in Sentiment}
LETTERS: Mapping[Sentiment, str] = {Sentiment.POSITIVE: "A", Sentiment.NEGATIVE: "B", Sentiment.NEUTRAL: "C"}
"""For tokenizers that cut a label's word in pieces; the prompt says which letter is which."""

EMPTY: Mapping[Kind, Task] = {
    Kind.SENTIMENT: Task(Kind.SENTIMENT, "ko", ("",)),
    Kind.SUMMARY: Task(Kind.SUMMARY, "ko", ("",)),
    Kind.COMPARISON: Task(Kind.COMPARISON, "ko", claims=(Claim("positive", AspectName.FOOD, "음식이 맛있다.", 2),)),
    Kind.STRENGTH: Task(Kind.STRENGTH, "ko", claims=(Claim("positive", AspectName.FOOD, "음식이 맛있다.", 2),)),
}
"""The smallest task of each kind: for warming up, and for what a kind costs at least."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads: `head`, the same for all of its name, then `tail`, where the answer begins at the end."""

    name: str
    """Name and version, such as `summary.ko/1`."""
    head: str
    tail: str

    @property
    def text(self) -> str:
        """The whole."""
        return self.head + self.tail


@dataclass(frozen=True, slots=True)
class Voice:
    """How a model is spoken to. As a completion nothing stands around the prompt; a chat form puts its marks there."""

    before: str = ""
    after: str = ""
    chats: bool = False
    """The model answers in a turn of its own."""
    letters: bool = False
    """Sentiment is asked as a letter."""

    @property
    def labels(self) -> Mapping[Sentiment, str]:
        """What follows the prompt of a review for each label, to the character."""
        words = LETTERS if self.letters else WORDS
        return words if self.chats else {label: f" {word}" for label, word in words.items()}

    def prompt(self, task: Task) -> Prompt:
        """Render a task. Line ends between the two parts go with the second: tokenizers join them to what follows."""
        rendered = prompts.render(task, letters=self.letters)
        shared = rendered.prefix.rstrip("\n")
        tail = rendered.prefix[len(shared) :] + rendered.body + self.after
        return Prompt(rendered.id, self.before + shared, tail)


def chat_voice(rendered: str, mark: str) -> Voice:
    """The form that a chat template gives to one turn of the user that says only `mark`. Raises ValueError."""
    before, found, after = rendered.partition(mark)
    if not found or mark in after:
        raise ValueError("the chat template does not hold the user's turn exactly once")
    return Voice(before, after, chats=True)
