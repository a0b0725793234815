"""Reports of the services that use the store."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from fmq.store.keys import digest
from fmq.store.postgres.part import Part
from fmq.store.postgres.statements import statement
from fmq.store.records import Service, ServiceReport

_FORGOTTEN_SECONDS = 86_400.0
_REPORT = statement(
    "INSERT INTO fmq_service (digest, name, seen_at, data) VALUES (%(digest)s, %(name)s, {now}, %(data)s) "
    "ON CONFLICT (digest) DO UPDATE SET seen_at = excluded.seen_at, data = excluded.data"
)
_FORGET = statement("DELETE FROM fmq_service WHERE seen_at < {now} - %(seconds)s")
_WITHDRAW = b"DELETE FROM fmq_service WHERE digest = %(digest)s"
_READ = statement(
    "SELECT name, data, greatest({now} - seen_at, 0)::float8 FROM fmq_service WHERE seen_at >= {now} - %(seconds)s "
    'ORDER BY name COLLATE "C"'
)


class ServicesPart(Part):
    """One row per service."""

    def report(self, service: ServiceReport) -> None:
        fields = asdict(service)
        name = fields.pop("name")
        values = {
            "digest": digest(name),
            "name": name,
            "data": json.dumps(fields),
            "seconds": _FORGOTTEN_SECONDS,
        }
        self._session.transaction([(_REPORT, values), (_FORGET, values)])

    def withdraw(self, name: str) -> None:
        self._session.rows(_WITHDRAW, {"digest": digest(name)})

    def services(self) -> Sequence[Service]:
        found = []
        for name, data, unseen in self._session.rows(_READ, {"seconds": _FORGOTTEN_SECONDS}):
            with suppress(ValueError, TypeError):  # a row that somebody else has written
                found.append(Service(ServiceReport(name=name, **json.loads(data)), unseen))
        return found
