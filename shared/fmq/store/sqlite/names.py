"""From a topic filter to the name of its table."""

import hashlib
import re
from collections.abc import Collection

PREFIX = "msg_"
_LONGEST = 63
_DIGITS = 8


def table_name(queue: str, taken: Collection[str]) -> str:
    """A table name for ``queue`` that is none of ``taken``.

    Whatever is no ASCII letter, digit or underscore becomes an underscore, as in the guide:
    ``sensor/temperature`` is ``msg_sensor_temperature``. The result needs no quotes in SQL. Where the plain name
    is taken (SQLite takes no notice of case) or too long, digits of the queue's hash follow it.
    """
    plain = PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", queue)
    used = {name.lower() for name in taken}
    if len(plain) <= _LONGEST and plain.lower() not in used:
        return plain
    digest = hashlib.sha256(queue.encode("utf-8", "surrogatepass")).hexdigest()
    for length in range(_DIGITS, len(digest) + 1):
        name = f"{plain[: _LONGEST - length - 1]}_{digest[:length]}"
        if name.lower() not in used:
            return name
    raise ValueError(f"no table name is free for {queue!r}")


def quoted(identifier: str) -> str:
    """``identifier`` as SQL text. The one place where names get into statements."""
    return '"' + identifier.replace('"', '""') + '"'
