"""The metrics of the handler ``exec``."""

from prometheus_client import CollectorRegistry, Counter, Gauge

ENDINGS = ("done", "retry", "unavailable", "failed", "signal", "not_started", "stopped")


class ExecMetrics:
    """Metrics of the handler ``exec``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.commands = Counter(
            "fmq_exec_commands",
            "Commands by how they ended: done, retry (75), unavailable (69), failed (any other exit code), signal, "
            "not_started, stopped (at the timeout or at shutdown).",
            ["ending"],
            registry=registry,
        )
        self.running = Gauge("fmq_exec_running", "Commands that are running.", registry=registry)
        for ending in ENDINGS:
            self.commands.labels(ending)
