"""The handlers of all routes, made from what the routes have chosen."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from uuid import UUID

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from fmq.handler import Handler
from fmq_processor.routes import Route


class Handlers:
    """Makes a handler for each route at once. Raises HandlerError, SettingsError.

    The metrics of a handler go to ``registry``. With several routes they have the label ``route``, since two routes may have
    the same handler.
    """

    def __init__(self, routes: Sequence[Route], registry: CollectorRegistry) -> None:
        self._decorate: Callable[[Handler, str], Handler] = lambda handler, _: handler
        self._identity: UUID | None = None
        self._labelled = _Labelled() if len(routes) > 1 else None
        self._registry = registry
        if self._labelled:
            registry.register(self._labelled)
        self._first = {route.name: self._made(route) for route in routes}

    @property
    def names(self) -> str:
        """The names of all handlers, for people."""
        return ", ".join(dict.fromkeys(handler.name for handler in self._first.values()))

    def decorate(self, decorate: Callable[[Handler, str], Handler]) -> None:
        """Pass each handler, with the name of its route, through ``decorate`` before it is used."""
        self._decorate = decorate

    def know_store(self, identity: UUID) -> None:
        """Tell each handler the identity of the store, before its set-up."""
        self._identity = identity

    def first(self, route: Route) -> Handler:
        """The handler of ``route``, ready for its set-up."""
        return self._ready(self._first[route.name], route)

    def again(self, route: Route) -> Handler:
        """Another handler of ``route``. Its metrics start at 0, and those of the one before it are gone."""
        return self._ready(self._made(route), route)

    def _made(self, route: Route) -> Handler:
        if self._labelled is None:
            return route.choice.make(self._registry)
        registry = CollectorRegistry()
        handler = route.choice.make(registry)
        self._labelled.registries[route.name] = registry
        return handler

    def _ready(self, handler: Handler, route: Route) -> Handler:
        handler = self._decorate(handler, route.name)
        if handler.know_store and self._identity:
            handler.know_store(self._identity)
        return handler


class _Labelled(Collector):
    """Collects one registry for each route, and adds the label ``route`` to what it finds."""

    def __init__(self) -> None:
        self.registries: dict[str, CollectorRegistry] = {}

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for route, registry in tuple(self.registries.items()):
            for family in registry.collect():
                found = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                found.samples += [
                    sample._replace(labels={"route": route, **sample.labels}) for sample in family.samples
                ]
        yield from families.values()
