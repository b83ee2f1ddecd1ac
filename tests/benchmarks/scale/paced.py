"""`review-consumer run` as it is, on an engine of fixed speed that needs no processor: it sleeps.

So that members on one machine do not wait for its cores, and what they cannot share shows.
"""

import asyncio
import os
from collections.abc import Sequence

from consumer.engines.contract import Deliver, Prepared
from tests.benchmarks.plumbing import ours

PACE = "SCALE_REVIEWS_PER_SECOND"
"""The variable that says how many reviews one engine answers a second."""


class PacedEngine(ours.ConstantEngine):
    """Takes one batch at a time, in the order they come, and as long as its reviews need."""

    def __init__(self, pace: float) -> None:
        self._pace, self._turn = pace, asyncio.Lock()

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """All of the batch when its time is over. Cancelled, it makes room for the next at once."""
        async with self._turn:
            await asyncio.sleep(len(batch) / self._pace)
        await super().run(batch, deliver)


if __name__ == "__main__":
    ours.main(PacedEngine(float(os.environ[PACE])))
