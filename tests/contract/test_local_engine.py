"""The embedded engine keeps the contract; and what is its own."""

import asyncio

import pytest

from consumer.analysis.answers import parse_summary
from consumer.analysis.task import AspectName, Kind, Task
from consumer.engines.contract import Answer, Engine
from consumer.engines.local.engine import LocalEngine
from consumer.engines.local.sentiment import SentimentModel
from consumer.errors import DeadLetter, EngineDown
from tests.contract.engine_suite import BUDGET, Delivered, EngineSuite, sentiment


class TestLocalEngine(EngineSuite):
    """Everything that every engine promises."""

    def make(self) -> Engine:
        """With the weights that ship."""
        return LocalEngine()

    async def test_a_summary_names_what_is_praised_and_what_is_not(self, engine: Engine) -> None:
        """In whole sentences with counts, each claim a guest's own words."""
        reviews = (
            "고기가 정말 맛있어요.",
            "고기 맛있고 반찬도 맛있네요!",
            "직원이 너무 불친절해요. 다시는 안 가요.",
            "대기가 너무 길어서 별로였어요.",
        )
        (answer,) = await self.ask(engine, [Task(Kind.SUMMARY, "ko", reviews)])
        parsed = parse_summary(answer.text, len(reviews))
        assert {claim.aspect: claim.reviews for claim in parsed.positive}[AspectName.FOOD] == (1, 2)
        assert {claim.aspect: claim.reviews for claim in parsed.negative}[AspectName.SERVICE] == (3,)
        assert "음식 맛(2건)에 만족한다는" in parsed.overall
        assert all(any(claim.text in review for review in reviews) for claim in (*parsed.positive, *parsed.negative))

    async def test_nothing_is_taken_before_the_start(self) -> None:
        """Nor prepared."""
        engine = LocalEngine()
        with pytest.raises(EngineDown, match="not started"):
            await engine.prepare([sentiment("맛있어요")], BUDGET)
        await engine.stop()

    async def test_stopping_ends_what_runs_and_what_waits_as_engine_down(self) -> None:
        """Not as a cancellation: nobody cancelled the caller."""
        engine = LocalEngine()
        await engine.start()
        batch = await engine.prepare([Task(Kind.SUMMARY, "ko", ("맛있고 친절해요. " * 300,) * 16)] * 20, 8000)
        runs = [asyncio.create_task(engine.run(batch, Delivered())) for _ in range(3)]
        await asyncio.sleep(0.02)
        await engine.stop()
        outcomes = await asyncio.gather(*runs, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [EngineDown] * 3

    async def test_it_tells_what_waits_for_its_thread(self) -> None:
        """So that not everything is handed to it at once, and urgent items still overtake; nothing when it is idle."""
        engine = LocalEngine()
        await engine.start()
        batch = await engine.prepare([Task(Kind.SUMMARY, "ko", ("맛있고 친절해요. " * 50,) * 8)] * 10, 8000)
        run = asyncio.create_task(engine.run(batch, Delivered()))
        async with asyncio.timeout(10):
            while not (during := engine.load()).running:
                await asyncio.sleep(0.001)
            await run
        after = engine.load()
        assert during.running == 1
        assert 0 < during.waiting < len(batch)
        assert (after.running, after.waiting, after.number) == (0, 0, len(batch))
        await engine.stop()

    async def test_what_a_stop_left_unanswered_does_not_count_as_waiting(self) -> None:
        """Nor what was cancelled."""
        engine = LocalEngine()
        await engine.start()
        batch = await engine.prepare([Task(Kind.SUMMARY, "ko", ("맛있고 친절해요. " * 50,) * 8)] * 10, 8000)
        stopped, cancelled = (asyncio.create_task(engine.run(batch, Delivered())) for _ in range(2))
        await asyncio.sleep(0.005)
        cancelled.cancel()
        await engine.stop()
        await asyncio.gather(stopped, cancelled, return_exceptions=True)
        assert engine.load().waiting == 0

    async def test_one_item_that_breaks_the_model_is_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its neighbours in the vectorised pass are labelled."""
        scored = SentimentModel.label_logprobs

        def breaks(self: SentimentModel, texts: list[str]) -> list[dict[str, float]]:
            if "poison" in texts:
                raise FloatingPointError("boom")
            return scored(self, texts)

        engine = LocalEngine()
        await engine.start()
        monkeypatch.setattr(SentimentModel, "label_logprobs", breaks)
        delivered = Delivered()
        await engine.run(
            await engine.prepare([sentiment(t) for t in ("좋아요", "poison", "싫어요")], BUDGET), delivered
        )
        await engine.stop()
        assert isinstance(delivered.outcomes[0], Answer)
        assert isinstance(delivered.outcomes[1], DeadLetter)
        assert isinstance(delivered.outcomes[2], Answer)
