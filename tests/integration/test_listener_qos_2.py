"""QoS 2, which only a session brings that another program has made: stored before PUBREC, and once per flow."""

from pathlib import Path

import pytest

from support.processes import Processes
from support.rows import Rows
from support.scripted_broker import (
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    Connection,
    ScriptedBroker,
    listen,
    none,
    packet,
    publish,
)
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


def release(packet_id: int) -> bytes:
    return packet(PUBREL, packet_id.to_bytes(2, "big"))


class TestExactlyOnce:
    """QoS 2: of a session that somebody else had made (section 4.3.3)."""

    @VERSIONS
    def test_the_flow(self, fmq: Processes, database: Path, version: str) -> None:
        """PUBREC follows the commit in the order of arrival, PUBREL is answered, and what comes in between is stored once."""
        seen: list[tuple[int, int]] = []
        rows: list[int] = []

        def script(connection: Connection) -> None:
            connection.accept(session_present=True)
            properties = none(version)
            connection.send(
                *(publish("t", b"%d" % n, packet_id=n, qos=1 + n % 2, properties=properties) for n in range(1, 7))
            )
            seen.extend(connection.answers(6))
            rows.append(Rows(database).count("t"))
            again = publish("t", b"3", packet_id=3, qos=2, dup=True, properties=properties)
            other = publish("t", b"other", packet_id=3, qos=2, dup=True, properties=properties)
            connection.send(again)
            seen.extend(connection.answers(1))
            rows.append(Rows(database).count("t"))
            connection.send(release(3), release(5), again)  # released: a new message
            seen.extend(connection.answers(3))
            rows.append(Rows(database).count("t"))
            connection.send(other)
            seen.extend(connection.answers(1))
            rows.append(Rows(database).count("t"))
            connection.serve()

        with ScriptedBroker(script) as broker:
            listen(fmq, broker, "t", FMQ_MQTT_VERSION=version)
            wait_for(lambda: len(rows) == 4, what="the script's end")
        assert seen[:6] == [(PUBREC if n % 2 else PUBACK, n) for n in range(1, 7)]
        assert seen[6:7] == [(PUBREC, 3)]
        assert sorted(seen[7:10]) == [(PUBREC, 3), (PUBCOMP, 3), (PUBCOMP, 5)]
        assert rows == [6, 6, 7, 8]
        assert not broker.errors

    @pytest.mark.parametrize(("version", "duplicates"), [("5", "off"), ("3.1.1", "session"), ("5", "session")])
    def test_over_connections_and_restarts(self, fmq: Processes, database: Path, version: str, duplicates: str) -> None:
        """PUBREL is answered, also by a listener that did not receive the message. What was stored and not released is not stored again.

        After a restart only FMQ_DUPLICATES=session tells it; a new session knows nothing of the old one.
        """
        first = publish("t", b"x", packet_id=9, qos=2, properties=none(version))
        again = publish("t", b"x", packet_id=9, qos=2, dup=True, properties=none(version))
        bodies: list[bytes] = []
        seen: list[tuple[int, int]] = []

        def one(connection: Connection, *packets: bytes, present: bool = True) -> None:
            connection.accept(session_present=present)
            connection.send(*packets)
            seen.extend(connection.answers(len(packets)))

        def last(connection: Connection) -> None:
            one(connection, again, present=False)
            connection.serve()

        def restarted(connection: Connection) -> None:
            one(connection, again)
            connection.send(release(9), release(77))
            bodies.extend(connection.read_until(PUBCOMP) for _ in range(2))

        with ScriptedBroker(
            lambda connection: one(connection, first), lambda connection: one(connection, again), restarted, last
        ) as broker:
            settings = {"FMQ_MQTT_VERSION": version, "FMQ_DUPLICATES": duplicates}
            listener = listen(fmq, broker, "t", **settings)
            wait_for(lambda: len(seen) == 2, what="a redelivery")
            listener.kill()
            before = Rows(database).count("t")
            listener = listen(fmq, broker, "t", **settings)
            wait_for(lambda: len(seen) == 4, what="a new session")
            assert listener.terminate() == 0
        # The third connection may have been the first process's, which remembers.
        assert before == 1
        assert Rows(database).count("t") in ({2} if duplicates == "session" else {2, 3})
        assert set(seen) == {(PUBREC, 9)}
        unknown = b"\x92" if version == "5" else b""
        assert bodies[1] == (77).to_bytes(2, "big") + unknown

    def test_a_flood_without_pubrel_is_bounded(self, fmq: Processes, database: Path) -> None:
        """Every packet identifier there is, none of them released, and then all of them again."""
        count = 65_535
        seen: list[int] = []

        def script(connection: Connection) -> None:
            connection.accept(session_present=True)
            for dup in (False, True):
                for begin in range(1, count + 1, 5_000):
                    numbers = range(begin, min(begin + 5_000, count + 1))
                    connection.send(*(publish("t", b"%d" % n, packet_id=n, qos=2, dup=dup) for n in numbers))
                    seen.extend(number for _, number in connection.answers(len(numbers)))
            connection.serve()

        with ScriptedBroker(script) as broker:
            listen(fmq, broker, "t")
            wait_for(lambda: len(seen) == 2 * count, 60, what="all PUBRECs")
            assert seen == [*range(1, count + 1)] * 2
            assert Rows(database).count("t") == count
