"""What a processor says about its routes: to /readyz, to the store's list of services, and at its start."""

import logging
from collections.abc import Mapping, Sequence

from fmq.service.http.health import Checks
from fmq.service.log import shorten
from fmq.store.nearest import did_you_mean
from fmq_processor.engine.lane import Lane
from fmq_processor.engine.supervisor import Supervisor
from fmq_processor.guards.circuit_report import CircuitReport
from fmq_processor.route_handlers import Handlers
from fmq_processor.routes import Route

_log = logging.getLogger(__name__)
_CLOSED = "closed"


class Standing:
    """For any thread to ask. ``circuits`` are those of the routes, by name."""

    def __init__(
        self,
        routes: Sequence[Route],
        handlers: Handlers,
        supervisor: Supervisor,
        circuits: Mapping[str, CircuitReport],
    ) -> None:
        self._routes = routes
        self._handlers = handlers
        self._supervisor = supervisor
        self._circuits = circuits

    def checks(self) -> Checks:
        """Whether each handler is set up."""
        return {
            self._title("handler", lane): None if lane.is_ready else "is being set up"
            for lane in self._supervisor.lanes
        }

    def notes(self) -> Mapping[str, str]:
        """Additional text. Neither an open circuit breaker nor a rate limit makes a processor unready or due for a restart."""
        lanes = self._supervisor.lanes
        circuits = {self._title("circuit", lane): self._circuits[lane.name].note for lane in lanes}
        rates = [(self._title("rate", lane), lane.worker.claiming.rate_note) for lane in lanes]
        return circuits | {title: note for title, note in rates if note}

    @property
    def queues(self) -> Sequence[str]:
        """The queues of all routes. Empty: all queues."""
        queues = [route.settings.queues for route in self._routes]
        return list(dict.fromkeys(queue for some in queues for queue in some)) if all(queues) else []

    def state(self) -> Mapping[str, object]:
        """The state of the processor in the store's list of services, as JSON."""
        notes = [(name, report.note) for name, report in self._circuits.items()]
        of_open = [note if len(notes) == 1 else f"{name}: {note}" for name, note in notes if note != _CLOSED]
        return {
            "queues": self.queues,
            "handler": self._handlers.names,
            "circuit": "; ".join(of_open) or _CLOSED,
            "in_hand": self._supervisor.holds,
            "routes": [
                {
                    "name": route.name,
                    "queues": list(route.settings.queues),
                    "topics": list(route.topics),
                    "handler": route.settings.handler,
                    "circuit": self._circuits[route.name].note,
                    "rate": lane.worker.claiming.rate_note,
                    "in_hand": lane.worker.holds,
                }
                for route, lane in zip(self._routes, self._supervisor.lanes, strict=True)
            ],
        }

    def log_misspelt(self, existing: Sequence[str]) -> None:
        """Log a warning for each queue that is not among the ``existing`` ones of the store, but resembles one."""
        for name in self.queues:
            if name in existing:
                continue
            hint = did_you_mean(name, [one for one in existing if one not in self.queues])
            if not set(existing).isdisjoint(name.split(",")):
                hint = f" Several queues are given with --topics={name}"
            if hint:
                _log.warning("The store has no queue %r yet.%s", shorten(name), hint)

    def log_routes(self) -> None:
        """Log a line for each of several routes."""
        if len(self._routes) == 1:
            return
        for route in self._routes:
            queues = shorten(", ".join(route.settings.queues)) or "all queues"
            topics = f", only {shorten(', '.join(route.topics))}" if route.topics else ""
            _log.info(
                "Route %s: handler %s for %s%s",
                route.name,
                route.settings.handler,
                queues,
                topics,
                extra={"route": route.name},
            )

    def _title(self, what: str, lane: Lane) -> str:
        return what if len(self._routes) == 1 else f"{what} of route {lane.name}"
