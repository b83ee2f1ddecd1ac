"""Counts as whole percents."""


def ratios(positive: int, negative: int, neutral: int) -> tuple[int, int, int]:
    """Whole percents by largest remainder: they sum to 100, or are all 0. Equal remainders: in the given order."""
    counts = (positive, negative, neutral)
    total = sum(counts)
    if total == 0:
        return 0, 0, 0
    percents = [count * 100 // total for count in counts]
    by_remainder = sorted(range(3), key=lambda i: -(counts[i] * 100 % total))
    for i in by_remainder[: 100 - sum(percents)]:
        percents[i] += 1
    return percents[0], percents[1], percents[2]
