"""The metrics of the handler ``queue``."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class QueueMetrics:
    """Metrics of the handler ``queue``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter("fmq_queue_messages", "Messages committed to the target store.", registry=registry)
        self.failures = Counter(
            "fmq_queue_failures",
            "Failed commits to the target store. Their messages come again.",
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "fmq_queue_commit_seconds", "Duration of a commit to the target store.", buckets=_SECONDS, registry=registry
        )
