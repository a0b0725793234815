"""Metrics of the handler ``webhook``."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "none")


class WebhookMetrics:
    """Metrics of the handler ``webhook``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "fmq_webhook_requests",
            "Requests by the status class of their answer; none: without an answer.",
            ["status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "fmq_webhook_request_seconds",
            "Duration from the start of a request to the end of its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._by_class = {status: self.requests.labels(status) for status in STATUSES}

    def answered(self, status: int, seconds: float) -> None:
        """Count a request that took so long. ``status`` 0: without an answer."""
        self._by_class.get(f"{status // 100}xx", self._by_class["none"]).inc()
        self.request_seconds.observe(seconds)
