"""Made-up figures of two installations with many queues, as a Prometheus would have them: for pictures, and to count lines.

A few queues have most of the traffic, one grows, one has a failing handler, and one is paused.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from monitoring.programs import ROOT, Prometheus, run

QUEUES = 200
_PLANTS = ("plant-a", "plant-b")
_ROUTES = tuple(f"route-{number:02}" for number in range(12))
_OUTCOMES = {"done": 0.95, "skipped": 0.02, "expired": 0.01, "retry": 0.015, "deferred": 0.002, "dead": 0.003}
_STATES = {"pending": 1.0, "claimed": 0.02, "done": 0.0, "dead": 0.01}
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_CONSTANT = {
    "fmq_connected": 1.0,
    "fmq_subscribed": 1.0,
    "fmq_store_up": 1.0,
    "fmq_store_writable": 1.0,
    "fmq_store_primary": 1.0,
    "fmq_store_timeline": 3.0,
    "fmq_store_sync_standbys": 1.0,
    "fmq_store_sync_standbys_wanted": 1.0,
    "fmq_build_info": 1.0,
    "fmq_alive": 1.0,
    "process_max_fds": 1024.0,
    "process_open_fds": 60.0,
    "fmq_queue_paused": 0.0,
    "fmq_circuit_open": 0.0,
}
_SIZES = {"_bytes": 3e8, "_seconds": 4.0, "_messages": 300.0, "_rows": 2000.0}

Labels = dict[str, str]


def queue(number: int) -> str:
    return f"plant/{number:03}/#"


def _documented() -> Iterator[tuple[str, str, str, list[str]]]:
    """Each metric of docs/metrics.md: who shows it (empty: every service), its name, type and labels."""
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    for section in page.split("\n## ")[1:]:
        service = next((one for one in ("listener", "processor") if section.lower().startswith(one)), "")
        for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", section, re.MULTILINE):
            yield service, name, kind, re.findall(r"`(\w+)`", labels)


def _services() -> Iterator[tuple[str, Labels]]:
    for at, plant in enumerate(_PLANTS):
        for service, port in (("listener", 9464), ("processor", 9465), ("processor", 9466)):
            instance = f"10.0.{at}.1:{port}"
            yield service, {"installation": plant, "job": f"fmq-{service}", "instance": instance}


def _values(label: str, service: str, plant: str) -> list[str]:
    """What a label may be in one service."""
    share = range(QUEUES)[_PLANTS.index(plant) :: len(_PLANTS)]
    known: Mapping[str, list[str]] = {
        "queue": [queue(number) for number in share],
        "route": list(_ROUTES),
        "state": list(_STATES),
        "outcome": list(_OUTCOMES),
        "reason": ["exception", "timeout", "unavailable"],
        "certificate": ["broker", "ca"],
        "service": [service],
        "version": ["0.2.0" if service == "listener" or plant == "plant-a" else "0.1.0"],
        "store": [plant],
    }
    return known.get(label, [])


def _combined(labels: list[str], service: str, own: Labels) -> Iterator[Labels]:
    found = [dict(own)]
    for label in labels:
        found = [{**one, label: value} for one in found for value in _values(label, service, own["installation"])]
    yield from found


def _weight(labels: Labels) -> float:
    """Messages per second of a queue or a route: a few have most of them."""
    if "queue" in labels:
        return 400.0 / (1 + int(labels["queue"].split("/")[1]))
    if "route" in labels:
        return 300.0 / (1 + int(labels["route"].split("-")[1]))
    return 500.0


def _phase(labels: Labels) -> float:
    """Where the wave of a series begins. All services of a store show the same of a queue."""
    own = [text for label, text in labels.items() if "queue" not in labels or label in ("installation", "queue")]
    return sum(map(ord, "".join(own))) % 100 / 16


def _counter(name: str, labels: Labels) -> Callable[[float], float]:
    """A total that rises in waves. Rare events have a thousandth of the rate."""
    is_common = name in ("fmq_stored", "fmq_processed", "fmq_route_processed", "fmq_received", "fmq_acknowledged")
    rate = _weight(labels) * _OUTCOMES.get(labels.get("outcome", ""), 1.0) * (1.0 if is_common else 0.001)
    if labels["job"] == "fmq-processor":
        rate /= 2  # there are two
    if name == "process_cpu_seconds":
        rate = 0.3
    wave = _phase(labels)
    return lambda at: rate * (at + 300 * (1 + math.sin(at / 900 + wave)))


def _gauge(name: str, labels: Labels, begun: float) -> Callable[[float], float]:
    """A value around its usual size; a time since when something waits or is running."""
    wave, weight = _phase(labels), _weight(labels)
    if name.startswith("fmq_oldest_"):
        return lambda at: begun + at - weight * (1.1 + math.sin(at / 1200 + wave))
    if name == "fmq_certificate_expiry_timestamp_seconds":
        return lambda _: begun + 86_400 * (10 + 20 * wave)
    if name.endswith("_timestamp_seconds"):
        return lambda at: begun + at - 60 * wave
    if name == "process_start_time_seconds":
        return lambda _: begun - 10_000 * (1 + wave)
    if name == "fmq_messages":
        share = _STATES[labels["state"]]
        return lambda at: float(round(weight * share * 30 * (1.1 + math.sin(at / 1500 + wave))))
    usual = _CONSTANT.get(name) or next((size for ending, size in _SIZES.items() if name.endswith(ending)), 5.0)
    if name in _CONSTANT:
        return lambda _: _CONSTANT[name]
    return lambda at: usual * (1.2 + math.sin(at / 1000 + wave))


def _series(begun: float) -> Iterator[tuple[str, str, Labels, Callable[[float], float]]]:
    """Type, name of the sample, labels and values of every series."""
    for shown_by, name, kind, names in _documented():
        for service, own in _services():
            if shown_by not in ("", service):
                continue
            for labels in _combined(names, service, own):
                if kind == "counter":
                    yield kind, name, labels, _counter(name.removesuffix("_total"), labels)
                elif kind == "gauge":
                    yield kind, name, labels, _gauge(name, labels, begun)
                else:
                    total = _counter("fmq_processed", labels)
                    for number, bound in enumerate((*map(str, _BUCKETS), "+Inf")):
                        share = 1 - 0.5 ** (number + 1) if bound != "+Inf" else 1.0
                        yield kind, f"{name}_bucket", {**labels, "le": bound}, _scaled(total, share)
                    yield kind, f"{name}_sum", labels, _scaled(total, 0.004)
                    yield kind, f"{name}_count", labels, total
    for _, own in _services():
        yield "gauge", "up", own, lambda _: 1.0


def _scaled(values: Callable[[float], float], share: float) -> Callable[[float], float]:
    return lambda at: values(at) * share


@contextmanager
def prometheus(folder: Path, begun: float, *, seconds: int, step: int) -> Iterator[Prometheus]:
    """A Prometheus with figures from ``begun`` (Unix time) on, a sample every ``step`` seconds; it asks nobody."""
    file = folder / "figures"
    with file.open("w", encoding="utf-8") as out:
        for _, name, labels, value in _series(begun):
            shown = ",".join(f'{label}="{text}"' for label, text in labels.items())
            for at in range(0, seconds + 1, step):
                out.write(f"{name}{{{shown}}} {value(at):.13g} {begun + at:.0f}\n")
        out.write("# EOF\n")
    run("promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(folder / "prometheus" / "data"))
    with Prometheus(folder / "prometheus", "groups: []", []) as running:
        yield running
