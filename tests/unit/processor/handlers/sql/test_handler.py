"""The handler ``sql`` on real databases: what becomes a row, what is refused, and that nothing is written twice."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from fmq.errors import FmqError, SettingsError
from fmq.message import Properties, unique_id, with_body
from fmq.outcome import Reject, Retry, Unavailable
from fmq.service.environment import load
from fmq.store.backends import open_store
from fmq_processor.handlers.sql.handler import SqlHandler
from fmq_processor.handlers.sql.settings import SqlSettings
from support.broker import free_port
from support.databases import START, Database, message, on_postgres
from support.postgres import Postgres

STORE = UUID("5a1f4c6e-0000-4000-8000-000000000001")
SIMPLE = "message_key TEXT PRIMARY KEY, topic TEXT NOT NULL, payload BYTEA NOT NULL, received_at TIMESTAMPTZ"

Make = Callable[..., SqlHandler]


def counted(handler: SqlHandler) -> dict[str, float]:
    """Rows by result."""
    (family,) = handler._metrics.rows.collect()
    return {one.labels["result"]: one.value for one in family.samples if one.name.endswith("_total")}


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes handlers, and ends them."""
    with ExitStack() as stack:

        def made(database: Database, *, set_up: bool = True, **settings: Any) -> SqlHandler:  # noqa: ANN401
            chosen = {"sql_patience_seconds": 0, "sql_connect_seconds": 1, **settings}
            handler = SqlHandler(SqlSettings(sql_url=SecretStr(database.url), **chosen), CollectorRegistry())
            stack.callback(handler.teardown)
            handler.know_store(STORE)
            if set_up:
                handler.setup()
            return handler

        yield made


@pytest.mark.postgres
def test_a_rotated_password_is_used(postgres: Postgres, tmp_path: Path) -> None:
    """The URL's file is read for each connection: a refusal lasts until the file has the new password, and no longer."""
    database = on_postgres(postgres)
    database.make(SIMPLE)
    file = tmp_path / "url"
    file.write_text(postgres.demand_password("ann", "first"))
    environ = {"FMQ_SQL_URL_FILE": str(file), "FMQ_SQL_PATIENCE_SECONDS": "0"}
    handler = SqlHandler(load(SqlSettings, {}, environ), CollectorRegistry())
    handler.know_store(STORE)
    assert handler.handle([message(1)]) == [None]
    new = postgres.demand_password("ann", "second")
    with pytest.raises(Unavailable, match="password authentication failed"):
        handler.handle([message(2)])
    file.write_text(new)
    assert handler.handle([message(2)]) == [None]
    handler.teardown()


@pytest.mark.postgres
def test_a_batch_is_one_round_trip(postgres: Postgres, make: Make) -> None:
    """One statement that is its own transaction, and no question before it whether the server is still there."""
    database = on_postgres(postgres)
    database.make(SIMPLE)
    handler = make(database._replace(url=f"{database.url}?options=-clog_statement%3Dall"))
    assert handler.handle([message(1)]) == [None]
    before = len(postgres.log)
    assert handler.handle([message(number) for number in range(2, 50)]) == [None] * 48
    statements = re.findall(r"LOG:  (?:execute \S+|statement): *(\w*)", postgres.log[before:])
    assert statements == ["INSERT"]


class TestRows:
    def test_defaults(self, database: Database, make: Make) -> None:
        """Without any setting but the URL, the table of the docs gets key, topic, payload and time, to the byte."""
        database.make(SIMPLE)
        first, second = message(1, b"\x00\xff"), message(2, b"")
        assert make(database).handle([first, second]) == [None, None]
        rows = database.execute("SELECT message_key, topic, payload FROM message ORDER BY received_at")
        assert [(key, topic, bytes(payload)) for key, topic, payload in rows] == [
            (str(unique_id(STORE, first)), "sensors/a/temp", b"\x00\xff"),
            (str(unique_id(STORE, second)), "sensors/a/temp", b""),
        ]
        (moment,) = database.execute("SELECT min(received_at) FROM message")[0]
        expected = datetime.fromtimestamp(START + 1, UTC)
        assert str(moment).startswith(str(expected.replace(tzinfo=None)))

    def test_every_source(self, database: Database, make: Make) -> None:
        """Levels, JSON by pointer and by dots, MQTT properties and the queue's own figures land in typed columns."""
        database.make(
            "id INTEGER, queue TEXT, device TEXT, celsius REAL, amount NUMERIC(10,2), ok BOOLEAN, day DATE, doc JSONB,"
            "tenant TEXT, kind TEXT, reply TEXT, correlation BYTEA, qos INTEGER, retain BOOLEAN, absent TEXT, missing INTEGER,"
            "store TEXT, PRIMARY KEY (store, queue, id)"
        )
        columns = (
            "store=store,id=id,queue=queue,device=topic.2,celsius=json:/values/0/c,amount=json:a/b.amount,"
            "ok=json:/a~1b/ok,day=json:day,doc=payload,tenant=user:tenant,kind=content_type,reply=response_topic,"
            "correlation=correlation_data,qos=qos,retain=retain,absent=topic.9,missing=json:/values/7/c"
        )
        one = message(
            7,
            b'{"values":[{"c":21.5}],"a/b":{"amount":12.34,"ok":true},"day":"2026-11-24"}',
            properties=Properties(
                content_type="application/json",
                response_topic="re/ply",
                correlation_data=b"\x00\x01",
                user_properties=(("tenant", "blue"), ("tenant", "red")),
            ),
        )
        handler = make(database, sql_columns=columns, sql_key="store,queue,id")
        assert handler.handle([one]) == [None]
        row = database.execute(
            "SELECT id, queue, device, celsius, amount, ok, day, tenant, kind, reply, correlation, qos, retain, absent, missing "
            "FROM message"
        )[0]
        assert [str(value) if column in (4, 6) else value for column, value in enumerate(row)] == [
            7,
            "sensors/+/temp",
            "a",
            21.5,
            "12.34",
            True,
            "2026-11-24",
            "blue",
            "application/json",
            "re/ply",
            b"\x00\x01",
            1,
            False,
            None,
            None,
        ]
        assert database.execute("SELECT doc ->> 'day' FROM message") == [("2026-11-24",)]

    def test_decoded_payloads(self, database: Database, make: Make) -> None:
        """What the processor has decoded, such as MessagePack with its times, is what fields are taken from."""
        database.make("message_key TEXT PRIMARY KEY, n INTEGER, at TIMESTAMPTZ, doc JSONB")
        handler = make(database, sql_columns="message_key=key,n=json:/n,at=json:at,doc=body")
        decoded = with_body(message(1, b"\x81"), {"n": 5, "at": datetime(2026, 11, 24, 12, tzinfo=UTC)})
        unpacked = with_body(message(2, b"\x1f"), b'{"n":6,"at":"2026-11-24T12:00:00Z"}')
        first, second = handler.handle([decoded, unpacked])
        assert second is None
        assert isinstance(first, Reject)  # a time is not JSON
        handler = make(database, sql_columns="message_key=key,n=json:/n,at=json:at")
        assert handler.handle([decoded]) == [None]
        assert database.execute("SELECT n FROM message ORDER BY n") == [(5,), (6,)]
        moments = {str(row[0])[:19] for row in database.execute("SELECT at FROM message")}
        assert moments == {"2026-11-24 12:00:00"}

    def test_again(self, database: Database, make: Make) -> None:
        """A message that comes again, alone, among new ones or twice in a batch, makes no second row; told by the counter."""
        database.make(SIMPLE)
        handler = make(database)
        one, two, three = (message(number, b"%d" % number) for number in (1, 2, 3))
        assert handler.handle([one, two]) == [None, None]
        assert handler.handle([two, three, three]) == [None, None, None]
        assert handler.handle([one]) == [None]
        assert database.execute("SELECT count(*) FROM message") == [(3,)]
        assert counted(handler) == {"stored": 3, "duplicate": 3, "refused": 0}

    def test_other_stores(self, database: Database, make: Make) -> None:
        """The same queue and id in another store, or in one restored from a backup, is another message."""
        database.make(SIMPLE)
        handler = make(database)
        handler.handle([message(1, b"a")])
        handler.handle([message(1, b"later")._replace(received_at=START + 99)])
        handler.know_store(UUID("5a1f4c6e-0000-4000-8000-000000000002"))
        handler.handle([message(1, b"b")])
        assert database.execute("SELECT count(*) FROM message") == [(3,)]


class TestRefused:
    def test_only_the_bad_ones(self, database: Database, make: Make) -> None:
        """Rows that break a constraint are found in the batch; all others are stored, and each bad one tells why."""
        database.make("message_key TEXT PRIMARY KEY, celsius REAL NOT NULL CHECK (celsius < 100), name TEXT UNIQUE")
        handler = make(database, sql_columns="message_key=key,celsius=json:/c,name=json:/n")
        payloads = [b'{"c":%d,"n":"%d"}' % (number, number) for number in range(60)]
        payloads[7] = b'{"c":200}'
        payloads[30] = b'{"c":1,"n":"29"}'
        payloads[41] = b"no JSON"
        payloads[42] = b'{"n":"x"}'
        payloads[43] = b'{"c":"warm"}'
        results = handler.handle([message(number, payload) for number, payload in enumerate(payloads)])
        bad = {number: result for number, result in enumerate(results) if result is not None}
        assert set(bad) == {7, 30, 41, 42, 43}
        assert all(isinstance(one, Reject) for one in bad.values())
        assert "check" in str(bad[7]).lower()
        assert "name" in str(bad[30])
        assert "the payload is not JSON" in str(bad[41])
        assert "column celsius needs a value, but the message has none at json:/c" in str(bad[42])
        assert "can't hold 'warm' (json:/c)" in str(bad[43])
        assert database.execute("SELECT count(*) FROM message") == [(55,)]
        assert counted(handler) == {"stored": 55, "duplicate": 0, "refused": 5}

    def test_what_a_driver_can_not_send(self, database: Database, make: Make) -> None:
        """Numbers beyond 64 bits and lone surrogates fail by themselves, before or in the database."""
        database.make("message_key TEXT PRIMARY KEY, n BIGINT, t TEXT")
        handler = make(database, sql_columns="message_key=key,n=json:/n,t=json:/t")
        payloads = [b'{"n":1}', b'{"n":99999999999999999999}', b'{"t":"\\ud800"}', b'{"t":"fine"}']
        results = handler.handle([message(number, payload) for number, payload in enumerate(payloads)])
        assert [type(one) for one in results] == [type(None), Reject, Reject, type(None)]
        assert database.execute("SELECT count(*) FROM message") == [(2,)]

    @pytest.mark.postgres
    def test_a_reference_that_may_come(self, postgres: Postgres, make: Make) -> None:
        """A row that refers to one that is not there is tried again, even if the constraint is only checked at the commit."""
        database = Database("postgresql", postgres.url, postgres.execute)
        database.execute("DROP SCHEMA public CASCADE")
        database.execute("CREATE SCHEMA public")
        database.make("id INTEGER PRIMARY KEY", "device")
        database.execute("INSERT INTO device VALUES (1)")
        database.make(
            "message_key TEXT PRIMARY KEY, device INTEGER REFERENCES device DEFERRABLE INITIALLY DEFERRED", "reading"
        )
        handler = make(database, sql_table="public.reading", sql_columns="message_key=key,device=payload")
        results = handler.handle([message(1, b"1"), message(2, b"2")])
        assert results[0] is None
        assert isinstance(results[1], Retry)
        assert not isinstance(results[1], Unavailable)
        assert database.execute("SELECT count(*) FROM reading") == [(1,)]

    def test_nothing_is_half_done(self, database: Database, make: Make) -> None:
        """If what fails is the table, not a row, nothing of the batch is stored, and no message is to blame."""
        database.make(SIMPLE)
        handler = make(database)
        database.execute("ALTER TABLE message RENAME TO elsewhere")
        with pytest.raises(Unavailable, match=r"no such table|does not exist"):
            handler.handle([message(1), message(2)])
        with pytest.raises(Unavailable, match="no such table, or this user can't see it; create it first"):
            handler.handle([message(1), message(2)])
        database.execute("ALTER TABLE elsewhere RENAME TO message")
        assert handler.handle([message(1), message(2)]) == [None, None]


class TestSetup:
    def test_all_that_does_not_fit(self, database: Database, make: Make) -> None:
        """Missing columns, columns without a value and a key without a constraint are reported at once, in plain words."""
        database.make("message_key TEXT, topic TEXT, needed TEXT NOT NULL, filled TEXT NOT NULL DEFAULT 'x'")
        with pytest.raises(FmqError) as raised:
            make(database)
        text = str(raised.value)
        assert (
            "FMQ_SQL_COLUMNS has payload, but the table has no such column: it has message_key, topic, needed" in text
        )
        assert "FMQ_SQL_COLUMNS has received_at, but the table has no such column" in text
        assert "column needed needs a value and has no default" in text
        assert "FMQ_SQL_KEY=message_key: the table has neither a primary key nor a unique constraint" in text
        assert "the column filled" not in text

    @pytest.mark.parametrize(
        ("table", "fits"),
        [
            ("message_key TEXT, topic TEXT, UNIQUE (topic, message_key)", True),
            ("message_key TEXT PRIMARY KEY, topic TEXT", False),
            ("message_key TEXT, topic TEXT, x TEXT, UNIQUE (topic, message_key, x)", False),
        ],
    )
    def test_the_key_is_exactly_a_constraint(self, database: Database, make: Make, table: str, *, fits: bool) -> None:
        """The columns of the key, in any order, are those of one constraint: no fewer, no more."""
        database.make(table)
        settings = {"sql_columns": "message_key=key,topic=topic", "sql_key": "message_key,topic"}
        if fits:
            assert make(database, **settings).handle([message(1), message(1)]) == [None, None]
        else:
            with pytest.raises(FmqError, match="FMQ_SQL_KEY=message_key,topic: the table has neither"):
                make(database, **settings)

    def test_a_unique_index(self, database: Database, make: Make) -> None:
        """It serves as the key, unless it is one of some rows only."""
        database.make("message_key TEXT, topic TEXT")
        settings = {"sql_columns": "message_key=key,topic=topic"}
        database.execute("CREATE UNIQUE INDEX one ON message (message_key) WHERE topic = 'a'")
        with pytest.raises(FmqError, match="FMQ_SQL_KEY=message_key: the table has neither"):
            make(database, **settings)
        database.execute("CREATE UNIQUE INDEX two ON message (message_key)")
        assert make(database, **settings).handle([message(1), message(1)]) == [None, None]

    def test_no_table(self, database: Database, make: Make) -> None:
        """That is reported by its name."""
        with pytest.raises(FmqError, match="FMQ_SQL_TABLE='message': the database has no such table"):
            make(database)

    def test_down_at_the_start(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """A server that is not up yet is waited for: the first batches fail as a whole, the password stays secret."""
        down = Database("postgresql", f"postgresql://fmq:hush@127.0.0.1:{free_port()}/test", list)
        handler = make(down, set_up=False, sql_patience_seconds=0.5)
        with caplog.at_level(logging.WARNING):
            handler.setup()
            with pytest.raises(Unavailable, match="Connection refused"):
                handler.handle([message(1)])
        assert "The database can't be reached yet" in caplog.text
        assert "Trying again" in caplog.text
        assert "hush" not in caplog.text


class TestOwnFile:
    def test_refused(self, tmp_path: Path) -> None:
        """Fmq's own queue is never the target, new or old, open or not, under whatever name; and stays as it is."""
        path = tmp_path / "queue.db"
        (tmp_path / "alias.db").symlink_to(path)
        with open_store(f"sqlite:///{path}") as queue:
            self.refuse(tmp_path)  # what makes it fmq's is in the -wal file yet
            queue.declare("q")
        before = path.read_bytes()
        self.refuse(tmp_path)
        assert path.read_bytes() == before

    def refuse(self, folder: Path) -> None:
        for name in ("queue.db", "alias.db"):
            with pytest.raises(SettingsError, match="is an fmq store, which nothing else may write to"):
                SqlHandler(SqlSettings(sql_url=SecretStr(f"sqlite:///{folder / name}")), CollectorRegistry())

    def test_missing_file(self, tmp_path: Path) -> None:
        """A file that is not there is not made: a mistyped path would take everything."""
        with pytest.raises(SettingsError, match=r"the database can't be read; .*nowhere\.db"):
            SqlHandler(SqlSettings(sql_url=SecretStr(f"sqlite:///{tmp_path}/nowhere.db")), CollectorRegistry())
        assert not (tmp_path / "nowhere.db").exists()
