"""Metrics of the handler ``sql``."""

from prometheus_client import CollectorRegistry, Counter, Histogram

RESULTS = ("stored", "duplicate", "refused")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class SqlMetrics:
    """Metrics of the handler ``sql``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rows = Counter(
            "fmq_sql_rows",
            "Rows by result: stored, duplicate (the key existed already) or refused.",
            ["result"],
            registry=registry,
        )
        for result in RESULTS:
            self.rows.labels(result)
        self.unavailable = Counter(
            "fmq_sql_unavailable",
            "Writes that failed because of the database, not because of a row.",
            registry=registry,
        )
        self.write_seconds = Histogram(
            "fmq_sql_write_seconds", "Duration of a successful transaction.", buckets=_SECONDS, registry=registry
        )
