"""The table of features by broker. A run makes it, prints it at its end and writes it into docs/brokers.md."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from support.brokers.all import BROKERS
from support.brokers.service import ROOT, Missing, Service

PAGE = ROOT / "docs" / "brokers.md"
_BEGIN = "<!-- made by make test-brokers: begin -->"
_END = "<!-- made by make test-brokers: end -->"

FEATURES = (
    "Versions of MQTT",
    "TCP, WebSocket",
    "TLS",
    "The default client id",
    "`fmq doctor`",
    "`fmq doctor` as a user with few rights",
    "Published at QoS 0, 1, 2",
    "Retained message",
    "Payloads of 1 and 10 MiB",
    "Topics with a dot, a star, a space",
    "Sent without a PUBACK, Receive Maximum 20",
    "Overlapping filters",
    "Shared subscription",
    "Forbidden filter next to a good one",
    "Backlog of an absent listener",
    "Listener killed three times under load",
    "Broker restarted, listener away",
    "Broker killed, listener away",
    "Broker restarted and killed, listener connected",
    "Second listener with the same client id",
    "Mosquitto's `per_listener_settings true`",
    "`--leave` with a backlog",
    "Filter removed with a backlog",
    "UNSUBSCRIBE in a resumed session",
    "`FMQ_DUPLICATES=session`",
    "`FMQ_DUPLICATES=key`",
    "Handler `mqtt` into this broker",
)
"""The rows in their order. One test fills each row and names it with the marker ``feature``."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a broker does for a feature. Without a version of MQTT, it holds for all versions that the broker supports."""

    feature: str
    broker: str
    version: str
    text: str

    def as_row(self) -> tuple[str, str, str, str]:
        return self.feature, self.broker, self.version, self.text


@dataclass(slots=True)
class Table:
    """The cells that a run has filled so far."""

    _cells: dict[tuple[str, str], dict[str, list[str]]] = field(default_factory=dict)
    _failed: set[tuple[str, str]] = field(default_factory=set)

    def add(self, cell: Cell, *, failed: bool) -> None:
        """Add a cell. Several texts of a broker for a feature are joined."""
        if cell.feature not in FEATURES:
            raise ValueError(f"{cell.feature} is not in FEATURES")
        key = cell.feature, cell.broker
        if failed:
            self._failed.add(key)
        texts = self._cells.setdefault(key, {}).setdefault(cell.version, [])
        if cell.text and cell.text not in texts:
            texts.append(cell.text)

    def as_markdown(self) -> str:
        """The table as Markdown."""
        head = ["", *map(_heading, BROKERS.values())]
        rows = [[feature, *(self._text(feature, name) for name in BROKERS)] for feature in FEATURES]
        lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
        return "\n".join(lines)

    def _text(self, feature: str, broker: str) -> str:
        key = feature, broker
        versions = {version: "; ".join(texts) for version, texts in self._cells.get(key, {}).items() if texts}
        different = set(versions.values())
        if len(different) == 1:
            text = different.pop()
        else:
            text = "<br>".join(f"{version}: {text}" if version else text for version, text in versions.items())
        return f"**fails** {text}".strip() if key in self._failed else text or "-"

    def write(self, page: Path = PAGE) -> None:
        """Replace the table in ``page``, between its marks."""
        before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
        _, _, after = rest.partition(_END)
        made = f"{_BEGIN}\n\nMeasured on {datetime.now(UTC):%Y-%m-%d}.\n\n{self.as_markdown()}\n\n"
        page.write_text(f"{before}{made}{_END}{after}", encoding="utf-8")


def _heading(kind: type[Service]) -> str:
    try:
        return f"{kind.title} {kind.version()}"
    except Missing:
        return f"{kind.title} (missing)"
