"""Small words for figures."""

from collections.abc import Sequence

MIB = 1024 * 1024
PER_SECOND = 1.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that ``percent`` of all do not exceed."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def spread(values: Sequence[float]) -> str:
    """Median, p95 and maximum of times in seconds, in words."""
    if not values:
        return "none"
    return (
        f"median {percentile(values, 50):.3f} s, p95 {percentile(values, 95):.3f} s, "
        f"max {max(values):.3f} s of {len(values)}"
    )
