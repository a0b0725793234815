"""A page that follows the live stream, and readings for it."""

import json
from collections.abc import Mapping
from typing import Any

from fmq_web.answers.activity import OperationView, ServiceView
from fmq_web.answers.live import LiveSummary
from fmq_web.answers.queues import Counts, StoreSizes
from fmq_web.live.reading import Reading

Json = Mapping[str, Any]


def counts(name: str, stored: int = 0, waiting: int = 0) -> Counts:
    return Counts(
        name=name,
        stored=stored,
        handled=0,
        failed=0,
        died=0,
        waiting=waiting,
        running=0,
        retrying=0,
        done=0,
        dead=0,
        oldest_seconds=None,
        in_per_second=None,
        out_per_second=None,
        drain_seconds=None,
        paused=None,
        needs=[],
    )


def service(name: str, unseen: float = 0.0, in_hand: int = 0) -> ServiceView:
    return ServiceView(
        name=name,
        kind="processor",
        host="here",
        pid=1,
        version="1",
        started_at=1.0,
        unseen_seconds=unseen,
        away=False,
        queues=[],
        connected=None,
        handler=None,
        circuit=None,
        in_hand=in_hand,
        routes=[],
        p50_seconds=None,
        p95_seconds=None,
    )


def operation(name: str, changed: int = 0) -> OperationView:
    return OperationView(
        id=name,
        kind="requeue",
        queue="q",
        selection="dead",
        actor="ann",
        state="running",
        total=9,
        more=False,
        changed=changed,
        rate=None,
        started_at=1.0,
        ended_at=None,
        problem="",
    )


def reading(at: float, queues: list[Counts], services: list[ServiceView] | None = None) -> Reading:
    total = sum(one.stored for one in queues)
    whole = LiveSummary(
        summary=f"{total} stored.",
        detail="",
        needs=[],
        sizes=StoreSizes(database_bytes=1, log_bytes=1, free_disk_bytes=1),
        total_stored=total,
    )
    return Reading(at=at, queues=queues, services=services or [], whole=whole)


class Follower:
    """What a page shows after the events that it got. It knows only what design and answers/live.py say."""

    def __init__(self) -> None:
        self.names: list[str] = []
        """Of the events, in order."""
        self.ticked: list[str] = []
        """Queues of the last tick."""
        self.at = 0.0
        self.queues: dict[str, Json] = {}
        self.services: dict[str, Json] = {}
        self.operations: dict[str, Json] = {}
        self.whole: Json = {}
        self.problem: Json | None = None

    def take(self, chunk: bytes) -> None:
        for event in chunk.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
            if "event" in fields:
                self.names.append(fields["event"])
                self._apply(fields["event"], json.loads(fields["data"]))

    def _apply(self, name: str, data: Json) -> None:
        match name:
            case "state":
                self.at, self.whole, self.problem = data["at"], data["whole"], None
                self.queues = {one["name"]: one for one in data["queues"]}
                self.services = {one["name"]: one for one in data["services"]}
                self.operations = {one["id"]: one for one in data["operations"]}
            case "tick":
                self.at = data["at"]
                self.ticked = [one["name"] for one in data["queues"]]
                self.queues |= {one["name"]: one for one in data["queues"]}
                self.whole = data["whole"] or self.whole
            case "workers":
                self.services = {one["name"]: one for one in data["services"]}
            case "operation":
                self.operations[data["id"]] = data
            case "problem":
                self.problem = data
            case "bye":
                pass
            case _:
                raise AssertionError(f"an unknown event {name}")
