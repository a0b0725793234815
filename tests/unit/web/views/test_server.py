"""What a page says about the server of a store on PostgreSQL."""

import re
from dataclasses import replace

import pytest

from fmq.store.records import ServerState
from fmq_web.views.needs import LARGE_LAG_BYTES, OLD_SNAPSHOT_SECONDS, server_needs
from monitoring.programs import rules

_WELL = ServerState(
    is_primary=True,
    timeline=1,
    standbys_wanted=1,
    standbys_streaming=1,
    lag_bytes=0,
    lag_seconds=0.0,
    oldest_transaction=3_600.0,
    oldest_snapshot=300.0,
    dead_rows={"q": 10_000_000},
    reconnects=1,
    retries=1,
)
_UNKNOWN = replace(_WELL, standbys_streaming=None, lag_bytes=None, lag_seconds=None)


@pytest.mark.parametrize("state", [None, _WELL, _UNKNOWN, replace(_WELL, standbys_wanted=0, standbys_streaming=0)])
def test_nothing_to_say(state: ServerState | None) -> None:
    """No server, one that is well, one whose standbys may not be seen, and one that needs none."""
    assert server_needs(state) == []


@pytest.mark.parametrize(
    ("changes", "severity", "text", "runbook"),
    [
        (
            {"standbys_wanted": 2, "lag_bytes": 2**30},
            "bad",
            "commits wait, since only 1 of 2 synchronous standbys are streaming",
            "FmqSyncStandbyMissing",
        ),
        ({"lag_bytes": 2**30}, "ask", "the best standby of the store's server is 1 GiB behind", "FmqReplicationLag"),
        (
            {"oldest_snapshot": 601.0},
            "ask",
            "a transaction in the store's database has been open for 10 min",
            "FmqOldTransaction",
        ),
    ],
)
def test_needs(changes: dict[str, float], severity: str, text: str, runbook: str) -> None:
    """Each says what is wrong, and leads to its runbook."""
    (need,) = server_needs(replace(_WELL, **changes))  # type: ignore[arg-type] # each of its own type
    assert (need.kind, need.severity, need.runbook) == ("server", severity, runbook)
    assert need.text == text


def test_the_limits_are_those_of_the_alerts() -> None:
    """A page and an alert say the same of the same server."""
    lag = re.search(r"> (.+)$", rules()["FmqReplicationLag"]["expr"])
    old = re.search(r"> (\d+)$", rules()["FmqOldTransaction"]["expr"])
    assert lag
    assert old
    assert int(lag[1]) == LARGE_LAG_BYTES
    assert float(old[1]) == OLD_SNAPSHOT_SECONDS
