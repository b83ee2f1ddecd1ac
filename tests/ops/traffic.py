"""What is sent to a stage: reviews at a steady pace, and on request slow ones and records that are no reviews."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from random import Random
from typing import Final
from urllib.request import Request, urlopen

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.ops.engine import SLOW_MARK

TICK_SECONDS: Final = 0.2
REVIEWS_A_TICK: Final = 3
RESTAURANTS: Final = 24
GATEWAY_TICKS: Final = 15
PATIENCE_SECONDS: Final = 2.0
_OPINIONS: Final = (
    ("고기가 맛있고 친절해요", 5),
    ("양이 적고 비싸요", 2),
    ("국물이 진하고 좋아요", 4),
    ("너무 오래 기다렸어요", 1),
)


class Traffic:
    """Sends until cancelled; what a broker that is down does not take is lost. Flags say what else is sent."""

    def __init__(self, address: str, topic: str, gateway: int) -> None:
        self._address, self._topic, self._gateway = address, topic, gateway
        self._random, self._numbers = Random(1), count()
        self.poison = self.slow = False

    async def run(self) -> None:
        """Until cancelled."""
        async with AIOKafkaProducer(bootstrap_servers=self._address, request_timeout_ms=5000) as producer:
            for tick in count():
                with suppress(KafkaError, TimeoutError):
                    await asyncio.wait_for(self._send(producer, tick), PATIENCE_SECONDS)
                if tick % GATEWAY_TICKS == 0:
                    await asyncio.to_thread(self._call)
                await asyncio.sleep(TICK_SECONDS)

    async def _send(self, producer: AIOKafkaProducer, tick: int) -> None:
        for key, value in self._records(tick):
            sent = await producer.send(self._topic, key=key.encode(), value=value)
            sent.add_done_callback(lambda future: future.cancelled() or future.exception())  # looked at: it is no news

    def _records(self, tick: int) -> Iterator[tuple[str, bytes]]:
        for _ in range(REVIEWS_A_TICK):
            text, rating = self._random.choice(_OPINIONS)
            yield self._review(self._random.randrange(RESTAURANTS), text, rating)
        if self.slow and tick % 10 == 0:
            yield self._review(0, SLOW_MARK, 3)
        if self.poison:
            for _ in range(REVIEWS_A_TICK):
                yield str(self._random.randrange(RESTAURANTS)), b"\x00 no review"

    def _review(self, restaurant: int, text: str, rating: int) -> tuple[str, bytes]:
        number = next(self._numbers)
        event = {
            "review_id": number,
            "restaurant_id": restaurant,
            "content": f"{text} {number}",
            "rating": rating,
            "comparison_group": f"group-{restaurant % 3}",
        }
        return str(restaurant), json.dumps(event).encode()

    def _call(self) -> None:
        """One batch request; whether it is answered is the gateway's metrics' to say."""
        body = {"restaurants": [{"restaurant_id": 1, "reviews": [{"content": "음식이 맛있네요!", "restaurant_id": 1}]}]}
        url = f"http://127.0.0.1:{self._gateway}/api/v1/sentiment/analyze/batch"
        request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with suppress(OSError), urlopen(request, timeout=PATIENCE_SECONDS):  # noqa: S310 - our own
            pass
