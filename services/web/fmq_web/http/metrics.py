"""The metrics of the web page."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = ("GET", "HEAD", "POST")
OTHER = "other"


class WebMetrics:
    """Metrics of ``fmq web``. ``route`` is a path as the code has it, never one that a caller made up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "fmq_web_requests",
            "Answered requests, by route, method and class of the status (2xx to 5xx).",
            ["route", "method", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "fmq_web_request_seconds",
            "Duration of a request, without live streams.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.streams = Gauge("fmq_web_streams", "Live streams that are open.", registry=registry)
        self.sign_in_failures = Counter(
            "fmq_web_sign_in_failures", "Sign-ins with a wrong user or password.", registry=registry
        )
        self.refused_sign_ins = Counter(
            "fmq_web_refused_sign_ins", "Sign-ins that were refused because of too many tries.", registry=registry
        )

    def start_at_zero(self, route: str, method: str) -> None:
        """Create the series of successes and of our own failures at 0, so that rates are right from the start."""
        for status in ("2xx", "5xx"):
            self.requests.labels(route, method, status)

    def observe(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count a request; ``seconds`` is None for a live stream."""
        self.requests.labels(route, method if method in METHODS else OTHER, f"{status // 100}xx").inc()
        if seconds is not None:
            self.request_seconds.labels(route).observe(seconds)
