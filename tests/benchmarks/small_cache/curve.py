"""What was seen of the consumer, and its picture. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 300, 60, 50, 30, 40
CEILING, PREEMPTED = "#1b6ca8", "#c0392b"
TICKS = 5
SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True, slots=True)
class Sample:
    """The consumer's metrics at one time."""

    seconds: float
    """Since there was a ceiling: the engine is up."""
    ceiling: float
    """Tokens that may be in flight."""
    preemptions: float
    """So far."""
    outages: float
    """Of the engine, so far."""
    cache: float
    """Fraction of the KV cache in use."""


def by_quarter(samples: Sequence[Sample]) -> list[int]:
    """Preemptions in each quarter of the time."""
    end = samples[-1].seconds
    marks = [max(s.preemptions for s in samples if s.seconds <= end * part / 4) for part in range(1, 5)]
    return [round(after - before) for before, after in zip([0.0, *marks], marks, strict=False)]


def svg(samples: Sequence[Sample]) -> str:
    """The ceiling (left axis) and all preemptions so far (right axis) over time."""
    end = samples[-1].seconds
    most_tokens = _even(max(sample.ceiling for sample in samples), 1000)
    most_preempted = _even(max(sample.preemptions for sample in samples), 1)
    parts = [
        f'<svg xmlns="{SVG}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_grid(end, most_tokens, most_preempted),
        _steps(samples, lambda s: s.ceiling / most_tokens, end, CEILING),
        _steps(samples, lambda s: s.preemptions / most_preempted, end, PREEMPTED),
        _text(LEFT, TOP - 12, "ceiling: tokens in flight", CEILING, "start"),
        _text(WIDTH - RIGHT, TOP - 12, "preemptions so far", PREEMPTED, "end"),
        _text(WIDTH // 2, HEIGHT - 6, "seconds since the engine was up", "#333", "middle"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _even(most: float, unit: int) -> int:
    """The end of an axis whose ticks are whole units: not less than one each."""
    return TICKS * unit * max(1, math.ceil(most / (TICKS * unit)))


def _grid(end: float, tokens: float, preempted: float) -> Iterator[str]:
    for tick in range(TICKS + 1):
        share = tick / TICKS
        x, y = _x(share), _y(share)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield _text(LEFT - 6, y + 4, f"{tokens * share:,.0f}", CEILING, "end")
        yield _text(WIDTH - RIGHT + 6, y + 4, f"{preempted * share:.0f}", PREEMPTED, "start")
        yield _text(x, HEIGHT - BOTTOM + 16, f"{end * share:.0f}", "#333", "middle")


def _steps(samples: Sequence[Sample], share: Callable[[Sample], float], end: float, colour: str) -> str:
    """A line that keeps its height until it changes."""
    path, height = [f"M{LEFT} {_y(share(samples[0])):.1f}"], share(samples[0])
    for sample in samples:
        if share(sample) != height:
            height = share(sample)
            path.append(f"H{_x(sample.seconds / end):.1f}V{_y(height):.1f}")
    path.append(f"H{WIDTH - RIGHT}")
    return f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _text(x: float, y: float, text: str, colour: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{text}</text>'
