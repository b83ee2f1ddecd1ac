"""`review-producer watch`: the result topics as a live table."""

import asyncio
from collections.abc import Callable

from producer.board import Board
from producer.kafka.tail import Tail
from schemas.connection import KafkaConnection
from schemas.topics import TopicNames

POLL_SECONDS = 0.25
SILENCE_SECONDS = 5.0
"""Where an unfinished transaction hides the end, reading `once` ends after this silence."""


def result_topics(names: TopicNames) -> tuple[str, ...]:
    """The four topics that are watched."""
    return (names.sentiment, names.totals, names.summary, names.strength)


async def watch(
    connection: KafkaConnection,
    names: TopicNames,
    show: Callable[[Board], None],
    *,
    from_beginning: bool,
    once: bool,
) -> Board:
    """Show the board after every poll that brought something.

    For ever, or with `once` until all is read that was there at the start. Raises CannotGoOn.
    """
    board = Board(names)
    tail = Tail(connection, result_topics(names), from_beginning=from_beginning or once)
    await tail.start()
    try:
        await _follow(tail, board, show, once=once)
    finally:
        await tail.stop()
    return board


async def _follow(tail: Tail, board: Board, show: Callable[[Board], None], *, once: bool) -> None:
    now = asyncio.get_running_loop().time
    last = now()
    show(board)
    while not (once and (await tail.caught_up() or now() - last > SILENCE_SECONDS)):
        received = await tail.records(POLL_SECONDS)
        for record in received:
            board.take(record.topic, record.key, record.value)
        if received:
            last = now()
            show(board)
