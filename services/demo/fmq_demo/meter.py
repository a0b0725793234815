"""Reads the figures: from the publisher, the queue, and what the processors say on /metrics."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from prometheus_client.parser import text_string_to_metric_families

from fmq.store.roles import Statistics
from fmq_demo.figures import Figures, Snapshot

_log = logging.getLogger(__name__)
_ANSWER_SECONDS = 2.0


class Meter:
    """Takes snapshots. ``published`` is counted by the publisher while we look at it."""

    def __init__(
        self, store: Statistics, names: Sequence[str], published: Mapping[str, int], ports: Sequence[int]
    ) -> None:
        self._store = store
        self._names = names
        self._published = published
        self._retries: dict[int, Counter[str]] = {port: Counter() for port in ports}

    def read(self) -> Snapshot:
        """How things stand now."""
        for port in self._retries:
            try:
                self._retries[port] = retries(fetch(port, "/metrics"))
            except OSError:
                _log.debug("no metrics on port %d", port)  # a busy service: its last figures stand
        return Snapshot(time.monotonic(), tuple((name, self._figures(name)) for name in self._names))

    def _figures(self, name: str) -> Figures:
        stats = self._store.stats(name)
        return Figures(
            published=self._published.get(name, 0),  # after stored: what comes in between is on its way, not surplus
            stored=stats.stored,
            pending=stats.pending,
            claimed=stats.claimed,
            retries=sum(one[name] for one in self._retries.values()),
            done=stats.done,
            dead=stats.dead,
        )


def retries(metrics: str) -> Counter[str]:
    """The retries of each queue, from the text of a processor's /metrics."""
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "fmq_processed_total" and sample.labels["outcome"] == "retry":
                counts[sample.labels["queue"]] += int(sample.value)
    return counts


def is_ready(port: int) -> bool:
    """Whether the service on the loopback port says on /readyz that it is ready."""
    try:
        fetch(port, "/readyz")
    except OSError:
        return False
    return True


def fetch(port: int, path: str) -> str:
    """What a service of this machine answers. Raises OSError, also if it answers that something is wrong."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)) as connection:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except HTTPException as error:
            raise OSError(f"no answer on port {port}: {error!r}") from error
    if answer.status != HTTPStatus.OK:
        raise OSError(f"{path} on port {port}: {answer.status}")
    return body.decode()
