"""An engine whose every answer a test decides, by what the review says."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, BudgetTooSmall, Deliver, Fault, Health, Load, Prepared
from consumer.errors import EngineDown
from schemas.base import Sentiment
from schemas.codec import encode_document

Script = Callable[[Task, int], Answer | Fault | None]
"""(task, which time this text is asked) → what to say; None: the usual answer."""

_PREFIX = 20
USUAL = {  # of every kind but sentiment
    Kind.SUMMARY: {
        "overall_summary": "음식이 좋습니다.",
        "positive_aspects": [{"aspect": "food", "claim": "음식이 맛있습니다.", "reviews": [1]}],
        "negative_aspects": [],
    },
    Kind.COMPARISON: {"comparison_summary": "다른 곳은 서비스가 좋습니다."},
    Kind.STRENGTH: {
        "strengths": [{"claim": 1, "text": "음식이 맛있습니다."}],
        "strength_summary": "음식이 강점입니다.",
    },
}


@dataclass(eq=False)
class ScriptedEngine:
    """Obeys the engine contract; answers positive unless its script says otherwise, while its gate is open."""

    script: Script = lambda _task, _time: None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: Counter[str] = field(default_factory=Counter)
    """How often each review was sent to the engine."""
    unanswered: Callable[[Task], bool] = lambda _task: False
    """What is never answered, nor anything behind it in its batch."""
    most_at_once: int = 0
    name: str = "scripted"
    model: str = "scripted-1"
    _running: int = 0
    _stopped: bool = False

    def __post_init__(self) -> None:
        """Open from the start."""
        self.gate.set()

    async def start(self) -> None:
        """Ready at once, as new."""
        self._stopped = False

    async def stop(self) -> None:
        """Nothing to release; takes no more."""
        self._stopped = True

    def health(self) -> Health:
        """Ready until stopped."""
        return Health(not self._stopped, "stopped" if self._stopped else "")

    def load(self) -> Load | None:
        """Tells nothing."""
        return None

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """A token for two characters, cut to the budget."""
        if budget < _PREFIX + 1:
            raise BudgetTooSmall(f"a budget of {budget} tokens holds no text")
        sizes = [sum(len(review) for review in task.reviews) // 2 + 50 for task in tasks]
        return [
            Prepared(task, min(size, budget - _PREFIX), str(task.kind), _PREFIX, truncated=size > budget - _PREFIX)
            for task, size in zip(tasks, sizes, strict=True)
        ]

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Answer one by one, by the script."""
        if self._stopped:
            raise EngineDown("stopped")
        self._running += len(batch)
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            await self.gate.wait()
            for index, prepared in enumerate(batch):
                await asyncio.sleep(0)
                if self.unanswered(prepared.task):
                    await asyncio.Event().wait()
                deliver(index, self._answer(prepared.task))
        finally:
            self._running -= len(batch)

    def _answer(self, task: Task) -> Answer | Fault:
        text = "".join(task.reviews)
        if task.kind is Kind.SENTIMENT:
            self.asked[text] += 1
        if (said := self.script(task, self.asked[text])) is not None:
            return said
        if task.kind is Kind.SENTIMENT:
            return Answer(label_logprobs={Sentiment.POSITIVE: -0.1, Sentiment.NEGATIVE: -2.5})
        return Answer(text=encode_document(USUAL[task.kind]).decode())


def review(restaurant: int | str, number: int | str, content: str | None = None, **more: object) -> tuple[bytes, bytes]:
    """A review event and its key."""
    event = {"review_id": number, "restaurant_id": restaurant, "content": content or f"리뷰 {number}", **more}
    return str(restaurant).encode(), encode_document(event)
