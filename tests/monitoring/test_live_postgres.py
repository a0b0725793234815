"""A real Prometheus watches services on a real PostgreSQL server with two standbys, while all that can go wrong with it does.

As in test_live, the rules are the project's own, with a second for each minute.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fmq_monitoring import rules as making
from fmq_monitoring.parameters import Parameters, Thresholds

from monitoring.expressions import OF_SERVER, filled, targets
from monitoring.programs import Prometheus, Target, program, rules, shortened
from support.broker import Broker, free_port, publish
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.standby import Standby, wait_for_setting
from support.wait import wait_for

_QUEUE = "sensors/#"
_MEBIBYTE = 1024 * 1024
_LIMITS = {
    "FmqOldTransaction": {"> 300": "> 5"},
    "FmqDeadRowsPileUp": {"> 2000000": "> 100"},
}
_EXPECTED = {"FmqSyncStandbyMissing", "FmqStoreFails", "FmqReplicationLag", *_LIMITS}
_OTHERS = {"FmqAbsent", "FmqNoProgress", "FmqListenerDisconnected", "FmqReconnectsOften", "FmqCommitSlow"}
"""Of a listener that waits: it does not answer its broker either. No processor runs."""


class _Watched:
    """A server with two standbys, a listener and Prometheus."""

    def __init__(self, primary: Postgres, one: Standby, two: Standby, broker: Broker, prometheus: Prometheus) -> None:
        self.primary = primary
        self.one = one
        self.two = two
        self.broker = broker
        self.prometheus = prometheus

    def firing(self) -> set[str]:
        return self.prometheus.firing() - _OTHERS

    def figure(self, expression: str) -> float | None:
        found = self.prometheus.query(expression)
        return float(found[0]["value"][1]) if found else None

    def receiver(self) -> int:
        """The process of the second standby that receives the log."""
        return int(self.two.execute("SELECT pid FROM pg_stat_wal_receiver")[0][0])

    def write_log(self) -> None:
        """Four mebibytes of the log, without waiting for a standby."""
        with psycopg.connect(self.primary.url, autocommit=True) as session:
            session.execute("SET synchronous_commit = off")
            session.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', %s))", [4 * _MEBIBYTE])


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[_Watched]:
    for name in ("prometheus", "promtool"):
        program(name)
    port = free_port()
    with (
        Postgres() as primary,
        Standby(primary, "one") as one,
        Standby(primary, "two") as two,
        Broker(tmp_path / "broker") as broker,
        Processes(tmp_path) as processes,
    ):
        wait_for_setting(primary, "synchronous_standby_names", "one")
        one.wait_to_stream(synchronous=True)
        listener: FmqProcess = processes.start(
            "listen", _QUEUE, FMQ_QUEUE_URL=primary.url, FMQ_BROKER_URL=broker.url, FMQ_HTTP_PORT=port
        )
        listener.wait_to_say("Connected and subscribed", 60)
        text = shortened(making.prometheus(Parameters(thresholds=Thresholds(replication_lag=_MEBIBYTE))), _LIMITS)
        with Prometheus(tmp_path / "prometheus", text, [Target("fmq-listener", port)]) as prometheus:
            yield _Watched(primary, one, two, broker, prometheus)
        primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        primary.execute("SELECT pg_reload_conf()")
        listener.terminate()


@pytest.mark.timeout(180)
def test_a_server_in_trouble(watched: _Watched) -> None:
    """Every alert about the server fires for its cause, nothing else does, and all clear when the causes are gone.

    The snapshot is older than the rows that die, the standby that commits wait for stops, and the other one falls behind.
    """
    wait_for(lambda: watched.figure("fmq_store_sync_standbys") == 1, 60, what="Prometheus to see the standby")
    assert watched.firing() == set()
    receiver = watched.receiver()
    with psycopg.connect(watched.primary.url) as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM pg_class")
        publish(watched.broker.port, [("sensors/1", b"{}")] * 200)
        wait_for(lambda: watched.primary.ask("SELECT sum(stored) FROM fmq_count") == [(200,)], 30, what="the messages")
        watched.primary.execute("UPDATE fmq_due_1 SET failed = failed")
        watched.one.stop()
        os.kill(receiver, signal.SIGSTOP)
        try:
            watched.write_log()
            publish(watched.broker.port, [("sensors/1", b"{}")])
            wait_for(lambda: watched.firing() >= _EXPECTED, 60, what="all alerts")
            assert watched.firing() == _EXPECTED
        finally:
            os.kill(receiver, signal.SIGCONT)
            watched.one.start()
        session.rollback()
    watched.primary.execute("VACUUM fmq_due_1")
    wait_for(lambda: not watched.firing(), 60, what="all alerts to clear")
    asked = [filled(query, _QUEUE) for _, _, query, _ in targets() if OF_SERVER.search(query)]
    asked += [f'ALERTS{{alertname="{name}"}}' for name, rule in rules().items() if OF_SERVER.search(rule["expr"])]
    assert [expression for expression in asked if not watched.prometheus.over(expression)] == []
    assert watched.prometheus.rule_errors() == {}
