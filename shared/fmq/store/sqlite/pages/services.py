"""Reports of the services that use the store."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace

from fmq.store.records import Service, ServiceReport
from fmq.store.sqlite.codec import NUMBER, as_number, as_text
from fmq.store.sqlite.part import Part

_FORGOTTEN_SECONDS = 86_400.0


class ServicesPart(Part):
    """One row per service. Ages use the store's steady time, so that setting the wall clock makes no service look absent."""

    def report(self, service: ServiceReport) -> None:
        fields = asdict(service)
        name = fields.pop("name")
        with self._database.write():
            now = self._database.now()
            self._database.rows(
                "INSERT INTO fmq_service (name, seen_at, data) VALUES (?1, ?2, ?3) "
                "ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at, data = excluded.data",
                (name, now, json.dumps(fields)),
            )
            self._database.rows("DELETE FROM fmq_service WHERE seen_at < ?", (now - _FORGOTTEN_SECONDS,))

    def withdraw(self, name: str) -> None:
        with self._database.write():
            self._database.rows("DELETE FROM fmq_service WHERE name = ?", (name,))

    def services(self) -> Sequence[Service]:
        with self._database.read():
            now = self._database.now()
            rows = self._database.rows(
                f"SELECT CAST(name AS BLOB), {NUMBER.format('seen_at')}, CAST(data AS BLOB) FROM fmq_service "
                "WHERE seen_at >= ? ORDER BY name",
                (now - _FORGOTTEN_SECONDS,),
            )
        found = []
        for name, seen_at, data in rows:
            with suppress(ValueError, TypeError, RecursionError):  # a row that somebody else has written
                report = _readable(ServiceReport(name=as_text(name), **json.loads(data)))
                found.append(Service(report, max(0.0, now - as_number(seen_at))))
        return found


def _readable(report: ServiceReport) -> ServiceReport:
    """The same with the types that it says, whatever the JSON was. What does not fit is empty."""
    texts = {name: _text(getattr(report, name)) for name in ("kind", "host", "version")}
    pid: object = report.pid
    state: object = report.state
    return replace(
        report,
        **texts,
        pid=int(as_number(pid)),
        started_at=as_number(report.started_at),
        state=state if isinstance(state, dict) else {},
    )


def _text(value: object) -> str:
    """JSON may hold surrogates that nothing else can."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else ""
