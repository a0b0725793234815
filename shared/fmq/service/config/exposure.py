"""Finds secrets in a configuration file that everybody can read, and tells which file a service uses."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from fmq.service.config.file import ConfigFile, ConfigFileError, read_config
from fmq.service.config.places import ROUTE, Place
from fmq.service.config.queues import unfilled
from fmq.service.config.strangers import schema
from fmq.text import without_password

_log = logging.getLogger(__name__)


def exposed(file: ConfigFile) -> Iterator[str]:
    """A remark for each secret, if every user of the machine can read ``file``."""
    for place in _secrets(file.tables, schema()) if file.is_public else ():
        key = ".".join(one for one in place[1:] if isinstance(one, str))
        yield (
            f"{file.where(place)}: {key} has a secret, and every user of this machine can read the file. "
            "Run chmod o-r on it, or keep the secret in a file of its own"
        )


def log_config(path: str | None) -> None:
    """Log which configuration file counts, if any, and its remarks. ``path`` is that of the setting ``config``."""
    try:
        file = read_config(path, "")
    except ConfigFileError:
        return  # it was read a moment ago
    if file.name:
        _log.info("Read settings from %s", file.name)
    for remark in (*exposed(file), *unfilled(file)):
        _log.warning("%s", remark)


def _secrets(tables: object, known: Mapping[str, Any], above: Place = ()) -> Iterator[Place]:
    """The places of values that the schema knows as secrets, and of URLs with passwords."""
    if isinstance(tables, Mapping):
        inner = known.get("properties", {})
        for key, value in tables.items():
            if isinstance(value, str) and (f"{key}_file" in inner or without_password(value) != value):
                yield (*above, key)
            else:
                yield from _secrets(value, inner.get(key, {}), (*above, key))
    elif isinstance(tables, list) and above == (ROUTE,):
        for number, value in enumerate(tables):
            yield from _secrets(value, known.get("items", {}), (*above, number))
