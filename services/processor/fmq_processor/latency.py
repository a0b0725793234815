"""The time in system of the last full minute, from the histogram of a processor."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from prometheus_client import Histogram

_MINUTE = 60.0
_Counts = dict[str, dict[float, float]]


class TimeInSystem:
    """Median and 95th percentile per queue, estimated from the buckets of a histogram with the label ``queue``."""

    def __init__(self, histogram: Histogram, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._histogram = histogram
        self._steady = steady
        self._since = steady()
        self._before = self._counts()
        self._last: Mapping[str, Mapping[str, float]] = {}

    def last_minute(self) -> Mapping[str, Mapping[str, float]]:
        """By queue: ``count``, ``p50`` and ``p95`` in seconds; only queues with messages in that minute."""
        now = self._steady()
        if now - self._since >= _MINUTE:
            counts = self._counts()
            self._last = {
                queue: found for queue, buckets in counts.items() if (found := _quantiles(buckets, self._before[queue]))
            }
            self._before, self._since = counts, now
        return self._last

    def _counts(self) -> _Counts:
        counts: _Counts = defaultdict(dict)
        for family in self._histogram.collect():
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    counts[sample.labels["queue"]][float(sample.labels["le"])] = sample.value
        return counts


def _quantiles(buckets: Mapping[float, float], before: Mapping[float, float]) -> Mapping[str, float]:
    """Empty without new values. Interpolates within a bucket, as Prometheus' histogram_quantile does."""
    new = [(bound, count - before.get(bound, 0.0)) for bound, count in sorted(buckets.items())]
    total = new[-1][1] if new else 0.0
    if not total:
        return {}
    return {"count": total, "p50": _quantile(0.5 * total, new), "p95": _quantile(0.95 * total, new)}


def _quantile(rank: float, cumulative: list[tuple[float, float]]) -> float:
    lower, below = 0.0, 0.0
    for bound, count in cumulative:
        if count >= rank:
            if bound == float("inf"):
                return lower  # the largest finite bound is all that is known
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
