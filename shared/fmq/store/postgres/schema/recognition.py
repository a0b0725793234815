"""Decides whether a database holds an fmq store, and of which version."""

from fmq.store.postgres.schema import migrations
from fmq.store.postgres.server.session import Ask
from fmq.store.recognition import Kind, Recognized

_MARK = b"""
    SELECT obj_description(to_regclass('fmq_schema'), 'pg_class') = 'fmq store',
        EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname LIKE 'fmq\\_%%')
"""
_VERSION = b"SELECT version, oldest FROM fmq_schema ORDER BY version DESC LIMIT 1"
_STRANGE = ": it has tables named fmq_… that fmq has not made, or no schema that its user may use"


def recognize(ask: Ask) -> Recognized:
    """Examine a database without writing. Services are upgraded one at a time, so a newer one may be current as well."""
    is_ours, has_names = ask(_MARK, {})[0]
    if not is_ours:
        return Recognized(Kind.EMPTY if has_names is False else Kind.FOREIGN, 0, migrations.LATEST_VERSION, _STRANGE)
    found = ask(_VERSION, {})
    version, oldest = found[0] if found else (0, 0)
    if oldest > migrations.LATEST_VERSION:
        return Recognized(Kind.NEWER, version, migrations.LATEST_VERSION)
    return Recognized(
        Kind.CURRENT if version >= migrations.LATEST_VERSION else Kind.OLDER, version, migrations.LATEST_VERSION
    )
