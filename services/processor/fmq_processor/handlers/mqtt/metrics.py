"""Metrics of the handler ``mqtt``."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class MqttMetrics:
    """Metrics of the handler ``mqtt``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.acknowledged = Counter("fmq_mqtt_acknowledged", "Messages acknowledged by the broker.", registry=registry)
        self.refused = Counter(
            "fmq_mqtt_refused", "Messages that the broker rejected, or that can't be sent to it.", registry=registry
        )
        self.unanswered = Counter(
            "fmq_mqtt_unanswered",
            "Messages whose connection ended before their PUBACK, so that the broker may get them twice.",
            registry=registry,
        )
        self.connections = Counter("fmq_mqtt_connections", "Connections opened to the broker.", registry=registry)
        self.unavailable = Counter(
            "fmq_mqtt_unavailable",
            "Attempts that failed because of the broker, not because of a message.",
            registry=registry,
        )
        self.connected = Gauge("fmq_mqtt_connected", "Open connections to the broker.", registry=registry)
        self.send_seconds = Histogram(
            "fmq_mqtt_send_seconds",
            "Time from the first PUBLISH of a batch to its last PUBACK.",
            buckets=_SECONDS,
            registry=registry,
        )
