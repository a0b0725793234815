"""What the handler ``mqtt`` counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class MqttMetrics:
    """What the handler ``mqtt`` counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.acknowledged = Counter(
            "fmq_mqtt_acknowledged", "Messages that the broker has taken, told by its PUBACK.", registry=registry
        )
        self.refused = Counter(
            "fmq_mqtt_refused", "Messages that the broker refused, or that can't be sent to it.", registry=registry
        )
        self.unanswered = Counter(
            "fmq_mqtt_unanswered",
            "Messages whose connection ended before their PUBACK came: the broker may get them twice.",
            registry=registry,
        )
        self.connections = Counter("fmq_mqtt_connections", "Connections made to the broker.", registry=registry)
        self.unavailable = Counter(
            "fmq_mqtt_unavailable", "Tries that failed because of the broker as a whole.", registry=registry
        )
        self.connected = Gauge("fmq_mqtt_connected", "Connections that stand.", registry=registry)
        self.send_seconds = Histogram(
            "fmq_mqtt_send_seconds",
            "Time from the first PUBLISH of a batch to its last PUBACK.",
            buckets=_SECONDS,
            registry=registry,
        )
