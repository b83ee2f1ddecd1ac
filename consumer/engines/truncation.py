"""How review text is cut to fit: head and tail stay, and several texts share what there is."""

from collections.abc import Callable, Sequence

MARK = " … "
"""Stands where the middle was."""


def fair_caps(lengths: Sequence[int], total: int) -> list[int]:
    """A cap for each length so that the capped ones sum to at most `total`: short ones stay whole, long ones share.

    Max-min fairness (Bertsekas and Gallager, Data Networks, 1992, section 6.5.2).
    """
    caps = [0] * len(lengths)
    left = max(0, total)
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for place, index in enumerate(order):
        caps[index] = min(lengths[index], left // (len(order) - place))
        left -= caps[index]
    return caps


def cut(text: str, cap: int, count: Callable[[str], int]) -> str:
    """The text, or as much of its head and tail as counts at most `cap`; "" where not even the mark fits."""
    if count(text) <= cap:
        return text
    low, high = 0, len(text)  # the most characters kept on each side lies in [low, high)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if count(_ends(text, middle)) <= cap else (low, middle)
    return _ends(text, low) if low else ""


def _ends(text: str, side: int) -> str:
    return text[:side] + MARK + text[len(text) - side :]
