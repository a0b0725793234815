"""Listeners and processors, as they last reported themselves."""

from collections.abc import Mapping, Sequence

from fmq.service.reporting.routes import AWAY_SECONDS, RouteState, routes_of
from fmq.store.records import Service
from fmq.store.roles import Statistics
from fmq_web.answers.activity import RouteView, Services, ServiceView

_LONGEST_TEXT = 1_000
_MOST_QUEUES = 10_000
_MOST_ROUTES, _MOST_FILTERS, _ROUTE_TEXT = 100, 20, 200
_IMPOSSIBLE = 2**53
"""No count or duration is that large; JSON knows numbers that no float can hold."""


def services(store: Statistics) -> Services:
    """All services that have reported within a day, by name."""
    return Services(services=[_view(one) for one in store.services()])


def serves(one: ServiceView, name: str) -> bool:
    """Whether a service subscribes to, or handles, the queue ``name``."""
    return name in one.queues or (one.kind == "processor" and not one.queues)


def at_work(known: Sequence[ServiceView], kind: str, name: str | None = None) -> list[ServiceView]:
    """The services of a kind that are not away; with ``name``, those of that queue."""
    return [one for one in known if one.kind == kind and not one.away and (name is None or serves(one, name))]


def _view(one: Service) -> ServiceView:
    """A state is JSON of any shape: what does not fit is unknown."""
    report, state = one.report, one.report.state
    queues = state.get("queues")
    connected = state.get("connected")
    circuit = _text(state.get("circuit"))
    held = state.get("in_hand")
    return ServiceView(
        name=report.name,
        kind=report.kind[:_LONGEST_TEXT],
        host=report.host[:_LONGEST_TEXT],
        pid=report.pid,
        version=report.version[:_LONGEST_TEXT],
        started_at=report.started_at,
        unseen_seconds=one.unseen,
        away=one.unseen > AWAY_SECONDS,
        queues=_names(queues) if isinstance(queues, list) else [],
        connected=connected if isinstance(connected, bool) else None,
        handler=_text(state.get("handler")),
        circuit="" if circuit == "closed" else circuit,
        routes=[_route(one) for one in routes_of(state)[:_MOST_ROUTES]],
        in_hand=held if isinstance(held, int) and 0 <= held < _IMPOSSIBLE else None,
        p50_seconds=_slowest(state, "p50"),
        p95_seconds=_slowest(state, "p95"),
    )


def _route(one: RouteState) -> RouteView:
    return RouteView(
        name=one.name[:_ROUTE_TEXT],
        queues=[name[:_ROUTE_TEXT] for name in one.queues[:_MOST_FILTERS]],
        topics=[topic[:_ROUTE_TEXT] for topic in one.topics[:_MOST_FILTERS]],
        handler=one.handler[:_ROUTE_TEXT],
        circuit="" if one.circuit == "closed" else one.circuit[:_ROUTE_TEXT],
        rate=one.rate[:_ROUTE_TEXT],
        in_hand=one.in_hand,
    )


def _names(queues: Sequence[object]) -> list[str]:
    return [one.encode(errors="backslashreplace").decode() for one in queues[:_MOST_QUEUES] if isinstance(one, str)]


def _slowest(state: Mapping[str, object], quantile: str) -> float | None:
    """That of its slowest queue."""
    times = state.get("time_in_system")
    found = (
        [_number(one.get(quantile)) for one in times.values() if isinstance(one, dict)]
        if isinstance(times, dict)
        else []
    )
    return max((one for one in found if one is not None), default=None)


def _text(value: object) -> str | None:
    """JSON may hold surrogates that no answer can."""
    return value[:_LONGEST_TEXT].encode(errors="backslashreplace").decode() if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < _IMPOSSIBLE else None
