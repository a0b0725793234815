"""Why something needs a person: the rules of monitoring/prometheus/rules, as far as the store alone can tell."""

from collections.abc import Sequence
from typing import Literal

from fmq.message import QueueStats, StoreStats
from fmq.service.log import shorten
from fmq.store.records import ServerState
from fmq.text import counted, plain
from fmq.topics import QUARANTINE
from fmq_web.answers.activity import ServiceView
from fmq_web.answers.queues import Need
from fmq_web.showing.words import duration, size
from fmq_web.views.services import at_work, serves

WAIT_SECONDS = 900.0
SCARCE_DISK_BYTES = 512 * 1024 * 1024
LARGE_LOG_BYTES = 1024 * 1024 * 1024
LARGE_LAG_BYTES = 256 * 1024 * 1024
OLD_SNAPSHOT_SECONDS = 300.0
_KINDS: tuple[Literal["listener", "processor"], ...] = ("listener", "processor")


def queue_needs(
    stats: QueueStats, known: Sequence[ServiceView], *, now: float, stands_still: bool, dies: bool
) -> list[Need]:
    """Those of one queue, the most severe first. ``stands_still`` and ``dies`` are those of fmq_web.views.minutes."""
    found: list[Need] = []
    age = 0.0 if stats.oldest_due_at is None else now - stats.oldest_due_at
    if age > WAIT_SECONDS:
        text = f"has kept a due message waiting for {duration(age)}"
        found.append(Need(kind="waiting", severity="bad", text=text, runbook="FmqMessagesWaitTooLong"))
    if stands_still and not stats.paused and stats.oldest_due_at is not None:
        text = "has messages waiting, and no attempt has ended for 10 min"
        found.append(Need(kind="no_progress", severity="bad", text=text, runbook="FmqNoProgress"))
    if stats.paused:
        text = f"has been paused for {duration(now - stats.paused.since)}"
        found.append(Need(kind="paused", severity="ask", text=text, runbook="FmqQueuePaused"))
    if stats.pending and any(one.circuit for one in at_work(known, "processor", stats.name)):
        text = "waits because its handler's target seems to be down"
        found.append(Need(kind="circuit", severity="ask", text=text, runbook="FmqCircuitOpen"))
    if stats.dead:
        runbook = (
            "FmqDeadLettersKept" if not dies else "FmqQuarantined" if stats.name == QUARANTINE else "FmqDeadLetters"
        )
        found.append(
            Need(kind="dead", severity="ask", text=f"has {counted(stats.dead, 'dead letter')}", runbook=runbook)
        )
    return found


def store_needs(sizes: StoreStats, known: Sequence[ServiceView], *, now: float, has_queues: bool) -> list[Need]:
    """Those of the store as a whole. Each text is a sentence without its capital letter and full stop."""
    found: list[Need] = []
    if sizes.free_disk_bytes is not None and sizes.free_disk_bytes < SCARCE_DISK_BYTES:
        text = f"the store's disk has only {size(sizes.free_disk_bytes)} left"
        found.append(Need(kind="disk", severity="bad", text=text, runbook="FmqDiskAlmostFull"))
    elif sizes.wal_bytes is not None and sizes.wal_bytes > LARGE_LOG_BYTES:
        text = f"the store's write-ahead log has grown to {size(sizes.wal_bytes)}"
        found.append(Need(kind="disk", severity="ask", text=text, runbook="FmqWalLarge"))
    for one in known:
        if one.away and not _is_replaced(one, known, now):
            text = f"{_called(one)} has not reported for {duration(one.unseen_seconds)}"
            found.append(Need(kind="away", severity="bad", text=text, runbook="FmqTargetDown"))
        elif one.connected is False and not one.away:
            text = f"{_called(one)} is not connected to its broker"
            found.append(Need(kind="away", severity="bad", text=text, runbook="FmqListenerDisconnected"))
    missing = [kind for kind in _KINDS if has_queues and not any(one.kind == kind for one in known)]
    if missing:
        text = f"no {' and no '.join(missing)} is at work"
        found.append(Need(kind="away", severity="bad", text=text, runbook="FmqAbsent"))
    return found


def server_needs(server: ServerState | None) -> list[Need]:
    """Those of the server that holds the store, if one does."""
    found: list[Need] = []
    if server is None:
        return found
    if server.standbys_streaming is not None and server.standbys_streaming < server.standbys_wanted:
        here = f"{server.standbys_streaming} of {server.standbys_wanted}"
        text = f"commits wait, since only {here} synchronous standbys are streaming"
        found.append(Need(kind="server", severity="bad", text=text, runbook="FmqSyncStandbyMissing"))
    elif server.lag_bytes is not None and server.lag_bytes > LARGE_LAG_BYTES:
        text = f"the best standby of the store's server is {size(server.lag_bytes)} behind"
        found.append(Need(kind="server", severity="ask", text=text, runbook="FmqReplicationLag"))
    if server.oldest_snapshot > OLD_SNAPSHOT_SECONDS:
        text = f"a transaction in the store's database has been open for {duration(server.oldest_snapshot)}"
        found.append(Need(kind="server", severity="ask", text=text, runbook="FmqOldTransaction"))
    return found


def _is_replaced(gone: ServiceView, known: Sequence[ServiceView], now: float) -> bool:
    """Whether another service has started since and does what this one did, as after the restart of a container."""
    return any(
        one.started_at >= now - gone.unseen_seconds - 1
        and (all(serves(one, name) for name in gone.queues) if gone.queues else not one.queues)
        for one in at_work(known, gone.kind)
    )


def _called(one: ServiceView) -> str:
    return f"the {plain(shorten(one.kind, 40))} on {plain(shorten(one.host, 80))} (process {one.pid})"
