"""When certificates expire."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Expiries = Mapping[str, float]
"""Unix time at which a certificate expires, by the name of the certificate."""


class CertificateCollector(Collector):
    """Shows what ``expiries`` returns at each scrape."""

    def __init__(self, expiries: Callable[[], Expiries]) -> None:
        self._expiries = expiries

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "fmq_certificate_expiry_timestamp_seconds",
            "Unix time at which a certificate expires: client and ca are FMQ_…_CERT_FILE and FMQ_…_CA_FILE (of several, the first one "
            "that expires), broker is the one that the broker showed at the last handshake. Absent if it is not used.",
            labels=["certificate"],
        )
        for name, at in self._expiries().items():
            family.add_metric([name], at)
        yield family
