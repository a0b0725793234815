"""The metrics of the handler ``file``."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class FileMetrics:
    """Metrics of the handler ``file``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lines = Counter("fmq_file_lines", "Lines appended and synced.", registry=registry)
        self.written_bytes = Counter("fmq_file_written_bytes", "Bytes appended and synced.", registry=registry)
        self.failures = Counter("fmq_file_failures", "Failed appends. Their messages come again.", registry=registry)
        self.rotations = Counter("fmq_file_rotations", "Files renamed because a new one was due.", registry=registry)
        self.unfinished_lines = Counter(
            "fmq_file_unfinished_lines",
            "Unfinished last lines that were cut off after a writer had died.",
            registry=registry,
        )
        self.append_seconds = Histogram(
            "fmq_file_append_seconds",
            "Duration of an append, including the wait for other writers and the sync.",
            buckets=_SECONDS,
            registry=registry,
        )
