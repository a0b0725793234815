# ruff: noqa: RUF001 - fingerprints have angle quotation marks
"""Texts from outside that the answers of the pages' tests have, and their time."""

from dataclasses import dataclass

NOW = 1_795_948_503.0  # 2026-11-29 10:35:03 UTC
NAMES = (
    "alarms", "billing/+/invoice", "dstdb", "factory/press-4/status", "factory/press-7/status", "fleet/+/position",
    "meters/#", "orders", "sensors/+/humidity", "sensors/+/temp", "shop/events", "weather/+/forecast",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts from outside."""

    queue: str = "alarms"
    topic: str = "alarms/boiler-2/pressure"
    head: str = '{"sensor": "boiler-2", "bar": 11.84, "limit": 9.5, "at": "2026-11-29T10:31:07Z"}'
    reason: str = "ConnectionRefusedError: [Errno 111] connect to 10.0.3.17:5432 refused"
    fingerprint: str = "ConnectionRefusedError: [Errno ‹…›] connect to ‹…›:‹…› refused"
    worker: str = "processor-1"
    host: str = "fmq-worker-a"
    actor: str = "jana"
    name: str = "trace-id"
    value: str = "7d1c9e"
    payload: str = (
        '{\n  "sensor": "boiler-2",\n  "bar": 11.84,\n  "limit": 9.5,\n  "at": "2026-11-29T10:31:07Z",\n  "history": [\n    9.1,\n'
        '    9.48,\n    10.2,\n    11.84\n  ],\n  "serial": 90071992547409931234567890\n}'
    )

    @classmethod
    def all(cls, text: str) -> "Texts":
        """The same text everywhere."""
        return cls(*[text] * 11)


USUAL = Texts()
