"""The routes of processors, as they report them in the store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

AWAY_SECONDS = 30.0
"""After which a service that has not reported is taken for absent. It reports every 10 seconds."""
_LONGEST_TEXT = 1_000
_MOST = 1_000
_IMPOSSIBLE = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """A route at work. ``queues`` and ``topics``: empty for all. ``circuit`` and ``rate`` are text for people; empty for no rate.

    ``in_hand`` is the number of messages in progress.
    """

    name: str
    queues: Sequence[str]
    topics: Sequence[str]
    handler: str
    circuit: str
    rate: str
    in_hand: int


def routes_of(state: Mapping[str, object]) -> Sequence[RouteState]:
    """The routes in the state of a ServiceReport. What can't be read is left out: another version of fmq may have written it."""
    found = state.get("routes")
    return list(_readable(found[:_MOST])) if isinstance(found, list) else []


def _readable(routes: Sequence[object]) -> Iterator[RouteState]:
    for one in routes:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            continue
        queues, topics, held = one.get("queues"), one.get("topics"), one.get("in_hand")
        if isinstance(queues, list) and isinstance(topics, list):
            yield RouteState(
                name=_text(one["name"]),
                queues=[_text(queue) for queue in queues[:_MOST]],
                topics=[_text(topic) for topic in topics[:_MOST]],
                handler=_text(one.get("handler", "")),
                circuit=_text(one.get("circuit", "")),
                rate=_text(one.get("rate", "")),
                in_hand=held if isinstance(held, int) and 0 <= held < _IMPOSSIBLE else 0,
            )


def _text(value: object) -> str:
    """JSON may hold surrogates that nothing else can."""
    return str(value)[:_LONGEST_TEXT].encode(errors="backslashreplace").decode()
