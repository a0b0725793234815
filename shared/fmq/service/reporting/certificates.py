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
            "Unix time at which a certificate expires: of a file with several, the first one that does. A broker's own one is shown as it "
            "was at the last handshake.",
            labels=["certificate"],
        )
        for name, at in self._expiries().items():
            family.add_metric([name], at)
        yield family
