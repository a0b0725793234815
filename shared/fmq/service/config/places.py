"""Where each setting stands in a configuration file.

The rule: a setting is in the table of what it belongs to, and its key is the variable's name in lower case without ``FMQ_`` and
without the table's name. ``FMQ_BROKER_URL`` is ``[broker] url``, ``FMQ_WEB_PORT`` is ``[web] port``, ``FMQ_BATCH`` is
``[processor] batch``. A setting of a handler is in a table of the handler's name: ``webhook.url``.

A setting of ``[service]`` may also stand in the table of one service, and one of ``[processor]`` in a ``[[route]]``: there it
counts first.
"""

from collections.abc import Iterable, Iterator
from functools import cache

from fmq.service.settings import HandlerSettings, SettingsModel, detail

Place = tuple[str | int, ...]
"""The keys that lead to a value; of a ``[[route]]``, also its number from 0."""

EVERY_SERVICE, PROCESSOR, ROUTE = "service", "processor", "route"


@cache
def home(model: type[SettingsModel], name: str) -> Place | None:
    """The place of the field ``name``; None if it has none. A handler's is relative to its route."""
    if issubclass(model, HandlerSettings):
        handler, _, key = name.partition("_")
        return (handler, key) if key else (name,)
    place: str | None = detail(model.model_fields[name], "place")
    if place is not None:
        return tuple(place.split(".")) if place else None
    # The first class that has it: a service may change what is said about it.
    first = next(one for one in reversed(model.__mro__) if issubclass(one, SettingsModel) and name in one.model_fields)
    return (first.table, name.removeprefix(f"{first.table}_"))


def places(model: type[SettingsModel], name: str, route: int | None = None) -> Iterator[Place]:
    """All places of the field ``name``, the one that counts first before the others."""
    found = home(model, name)
    if found is None:
        return
    if issubclass(model, HandlerSettings):
        found = (PROCESSOR, *found)
    if found[0] == EVERY_SERVICE and model.table != EVERY_SERVICE:
        yield (model.table, *found[1:])
    elif found[0] == PROCESSOR and route is not None and not detail(model.model_fields[name], "of_process"):
        yield (ROUTE, route, *found[1:])
    yield found


def usual_name(handler: str, filters: Iterable[str]) -> str:
    """The name of a route that has none: of its handler, and of its topics or queues. It does not change with other routes."""
    return f"{handler.rpartition(':')[2]} {','.join(filters)}".strip()
