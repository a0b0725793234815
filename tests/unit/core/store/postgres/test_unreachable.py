"""Why a server can't be used, in words, on real servers: /readyz, logs and doctor show them."""

import psycopg
import pytest

from fmq.clock import SYSTEM_CLOCK
from fmq.service.http.health import Heartbeat
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.store.backends import open_store
from fmq.store.postgres.server.target import target_of
from fmq.store.postgres.server.unreachable import refuses_login, why_unreachable
from fmq_processor.guards.readiness import Readiness
from support.broker import free_port
from support.postgres import Postgres
from support.standby import wait_for_setting

pytestmark = pytest.mark.postgres


def why(url: str) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect("", **target_of(url).parameters)  # type: ignore[arg-type] # as libpq takes them
    words = why_unreachable(caught.value)
    assert "hush" not in words
    return words


def test_each_kind() -> None:
    """Not running, starting up, read-only, a wrong password, no such database, no free connection: each has its words."""
    with Postgres() as server:
        assert why(server.url.replace("/test", "/nosuch")) == "the server has no such database"
        careful = server.demand_password("careful", "hush")
        assert why(careful.replace(":hush", ":hush-hush")) == "the server refuses the user or the password"
        assert why(careful.replace(":hush", "")) == "the server refuses the user or the password"
        assert why(f"{server.url}?sslmode=require").startswith("the server can't be used (server does not support SSL")
        server.execute("ALTER DATABASE test CONNECTION LIMIT 0")
        server.execute("CREATE ROLE plain LOGIN")
        assert "has no free connection" in why(server.url.replace("fmq@", "plain@"))
        server.execute("ALTER DATABASE test CONNECTION LIMIT -1")
        wait_for_setting(server, "default_transaction_read_only", "on")
        assert why(server.url) == "the server is a standby or read-only"
        gone = free_port()
        both = server.url.replace("/test", f",127.0.0.1:{gone}/test")
        assert why(both) == (
            f"no server takes writes: 127.0.0.1:{server.port} is a standby or read-only; "
            f"127.0.0.1:{gone} refuses the connection: is it running?"
        )
        server.stop()
        assert why(server.url) == "the server refuses the connection: is it running?"
        with server.starting_up():
            assert why(server.url) == "the server is starting up"
        server.start()


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        (['FATAL:  password authentication failed for user "fmq"', "Connection refused"], True),
        (['FATAL:  database "fmq" does not exist', "timeout expired"], True),
        (['FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "fmq"', "session is read-only"], False),
        (['FATAL:  role "fmq" does not exist', "FATAL:  the database system is starting up"], False),
        (['FATAL:  role "fmq" is not permitted to log in', "FATAL:  sorry, too many clients already"], False),
        (["Connection refused", "timeout expired"], False),
        (["Connection refused", "session is read-only"], False),
    ],
)
def test_a_login_that_is_refused(answers: list[str], *, refused: bool) -> None:
    """By one server at least, while no other one may take it later."""
    parts = [f"- host: 'h{number}', port: '5432', hostaddr: None: {text}" for number, text in enumerate(answers)]
    error = psycopg.OperationalError("\n".join(["Multiple connection attempts failed. All failures were:", *parts]))
    assert refuses_login(error) is refused


def test_names() -> None:
    """A name that nobody knows."""
    assert why("postgresql://fmq:hush@nosuch.invalid/test") == "the server has a name that can't be resolved"


def test_readiness() -> None:
    """/readyz of a service says what is wrong, for as long as it is, and never a password."""
    with Postgres() as server:
        url = server.demand_password("careful", "hush")
        with open_store(url) as store:
            readiness = Readiness(store, CommitWatch(SYSTEM_CLOCK, Heartbeat()), dict)

            def told() -> str:
                words = readiness.checks()["store"] or "ok"
                assert "hush" not in words
                return words

            assert told() == "ok"
            server.demand_password("careful", "another")
            told()  # the connection has ended
            assert told().endswith("/test: the server refuses the user or the password")
            server.demand_password("careful", "hush")
            assert told() == "ok"
            server.stop()
            told()
            assert told().endswith("/test: the server refuses the connection: is it running?")
            with server.starting_up():
                assert told().endswith("/test: the server is starting up")
            server.start()
            assert told() == "ok"


def test_a_probe_does_not_wait_for_a_standby() -> None:
    """Readiness is asked for often: each answer would wait until a standby is back."""
    with Postgres() as server, open_store(server.url) as store:
        wait_for_setting(server, "synchronous_standby_names", "nobody")
        store.probe()
        wait_for_setting(server, "synchronous_standby_names", "")
