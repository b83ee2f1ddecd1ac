"""Many restaurants in one call against as many calls of one, against a gateway that runs (`make serve`).

    python -m tests.benchmarks.batch_requests [--url http://localhost:8000] [--restaurants 100] [--reviews 20]
        [--kind sentiment|summary|strength]

Prints: seconds of one call, of as many calls of one restaurant (so many at once as --at-once says, and
one after another), when the first and the last event of the streamed call came, and how many restaurants failed. The
order of the measurements is turned round in every second round.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any
from urllib.parse import urlsplit

PATHS = {
    "sentiment": "/api/v1/sentiment/analyze/batch",
    "summary": "/api/v1/llm/summarize/batch",
    "strength": "/api/v1/llm/extract/strengths/batch",
}
TEXTS = ("음식이 맛있네요!", "서비스가 아쉽네요", "가격이 합리적이에요!", "한 시간 기다렸어요", "분위기가 좋아요")


def restaurants(kind: str, count: int, reviews: int, run: str) -> list[dict[str, Any]]:
    """Restaurants whose reviews no earlier run has asked for: an answer must not come from a cache."""
    return [_restaurant(kind, f"{run}-{number}", reviews) for number in range(count)]


def _restaurant(kind: str, name: str, reviews: int) -> dict[str, Any]:
    """The reviews in one list, or half of them in each of two."""
    texts = [{"content": f"{TEXTS[n % len(TEXTS)]} ({name}, {n})"} for n in range(reviews)]
    one, other = texts[::2], texts[1::2]
    match kind:
        case "sentiment":
            return {"restaurant_id": name, "reviews": texts}
        case "summary":
            return {"restaurant_id": name, "positive_reviews": one, "negative_reviews": other}
        case _:
            return {"target_restaurant_id": name, "target_reviews": one, "comparison_reviews": other}


class Caller:
    """Calls the gateway over connections of its own."""

    def __init__(self, url: str, kind: str) -> None:
        found, self._path = urlsplit(url), PATHS[kind]
        self._host, self._port = found.hostname or "localhost", found.port or 80

    async def call(self, items: Sequence[dict[str, Any]], *, stream: bool = False) -> tuple[float, float, int]:
        """Seconds until the answer's first byte and until its end, and how many failed. Not 200: RuntimeError."""
        body = json.dumps({"restaurants": items, "max_tokens_per_batch": 4000}).encode()
        accept = "text/event-stream" if stream else "application/json"
        lines = (f"POST {self._path} HTTP/1.1", f"Host: {self._host}", "Connection: close", f"Accept: {accept}",
                 "Content-Type: application/json", f"Content-Length: {len(body)}", "", "")  # fmt: skip
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**24)
        writer.write("\r\n".join(lines).encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        first = await reader.read(1)
        at_first = time.perf_counter() - started
        answer = first + await reader.read()
        writer.close()
        if head.split()[1] != b"200":
            raise RuntimeError(f"{head.split()[1].decode()}: {answer[:300].decode()}")
        return at_first, time.perf_counter() - started, int(answer.rpartition(b'"failed_count":')[2].partition(b"}")[0])


async def single(caller: Caller, items: Sequence[dict[str, Any]], at_once: int) -> int:
    """One call a restaurant; how many failed."""
    room = asyncio.Semaphore(at_once)

    async def one(item: dict[str, Any]) -> int:
        async with room:
            return (await caller.call([item]))[2]

    return sum(await asyncio.gather(*(one(item) for item in items)))


async def timed(work: Awaitable[Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    started = time.perf_counter()
    found = await work
    return time.perf_counter() - started, found


async def measure(options: argparse.Namespace) -> None:
    """Run all rounds and print."""
    caller, count, run = Caller(options.url, options.kind), options.restaurants, f"{time.time():.0f}"

    def items(name: str) -> list[dict[str, Any]]:
        return restaurants(options.kind, count, options.reviews, f"{run}-{name}")

    await caller.call(items("warm")[:1])
    ways: dict[str, Callable[[list[dict[str, Any]]], Awaitable[Any]]] = {
        "one call": caller.call,
        f"{count} calls, {options.at_once} at once": lambda items: single(caller, items, options.at_once),
        f"{count} calls, one after another": lambda items: single(caller, items, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    shares, failed = [], 0
    for number in range(options.rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            took, found = await timed(ways[name](items(f"{number}-{name}")))
            seconds[name].append(took)
            failed += found[2] if isinstance(found, tuple) else found
        first, last, more = await caller.call(items(f"{number}-sse"), stream=True)
        shares.append((first, last))
        failed += more
    for name, found in seconds.items():
        print(f"{name}: median {median(found):.2f} s ({', '.join(f'{took:.2f}' for took in found)})")
    for first, last in shares:
        print(f"streamed: first result after {first:.2f} s, last after {last:.2f} s ({first / last:.0%})")
    print(f"failed: {failed}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--kind", choices=PATHS, default="sentiment")
    parser.add_argument("--restaurants", type=int, default=100)
    parser.add_argument("--reviews", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=20)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
