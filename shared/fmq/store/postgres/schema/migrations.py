"""The numbered migrations.

``fmq_schema`` marks the database as an fmq store and has a row for each migration. A released migration never changes.

Services are upgraded one at a time, so a migration runs while older ones work:

* A migration adds: tables, indexes, columns that may be NULL or have a default. Then older services go on, and may start anew.
  What it adds to the tables of a queue, it adds to those that exist and to ``fmq_create_queue`` and ``fmq_drop_queue``: older
  services call these too. Creating a queue and migrating take the same lock, so none is missed.
* A migration that changes or removes what older services use raises OLDEST_VERSION. It ends their sessions; when they connect
  again, they refuse the store.
"""

from fmq.store.postgres.server.session import Ask

_NOTE = b"INSERT INTO fmq_schema (version, oldest) VALUES (%(version)s, %(oldest)s)"
# Who connects from now on reads fmq_schema first, and so waits for the end of the migration (opening.py).
_LOCK_OUT = b"""
    LOCK TABLE fmq_schema IN ACCESS EXCLUSIVE MODE;
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid();
"""
MIGRATIONS: tuple[str, ...] = (
    # 1: queues with their counters, notes, keys of duplicates, receipts, history, services, actions. A key that may be longer
    # than an index takes is found by its digest. Rows of due live for moments, so dead ones must go soon: an index scan walks
    # over them. Counters are updated in place if their page has room.
    """
    CREATE TABLE fmq_schema (
        version    integer PRIMARY KEY,
        oldest     integer NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE fmq_schema IS 'fmq store';
    CREATE TABLE fmq_queue (
        number        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name          text NOT NULL,
        digest        bytea NOT NULL UNIQUE,
        created_at    double precision NOT NULL,
        ordered       boolean,
        paused_at     double precision,
        paused_reason text
    );
    CREATE TABLE fmq_count (
        queue   integer NOT NULL,
        slot    smallint NOT NULL,
        stored  bigint NOT NULL DEFAULT 0,
        pending bigint NOT NULL DEFAULT 0,
        claimed bigint NOT NULL DEFAULT 0,
        done    bigint NOT NULL DEFAULT 0,
        dead    bigint NOT NULL DEFAULT 0,
        handled bigint NOT NULL DEFAULT 0,
        failed  bigint NOT NULL DEFAULT 0,
        died    bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (queue, slot)
    ) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
    CREATE TABLE fmq_note (
        digest bytea PRIMARY KEY,
        key    text NOT NULL,
        value  text NOT NULL
    );
    CREATE TABLE fmq_key (
        queue      integer NOT NULL,
        digest     bytea NOT NULL,
        expires_at double precision NOT NULL,
        PRIMARY KEY (queue, digest)
    );
    CREATE INDEX fmq_key_expiry ON fmq_key (expires_at);
    CREATE TABLE fmq_receipt (
        session bytea NOT NULL,
        number  bigint NOT NULL,
        data    bytea NOT NULL,
        PRIMARY KEY (session, number)
    );
    CREATE TABLE fmq_minute (
        minute bigint PRIMARY KEY,
        data   text NOT NULL
    );
    CREATE TABLE fmq_service (
        digest  bytea PRIMARY KEY,
        name    text NOT NULL,
        seen_at double precision NOT NULL,
        data    text NOT NULL
    );
    CREATE TABLE fmq_action (
        number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at        double precision NOT NULL,
        actor     text NOT NULL,
        kind      text NOT NULL,
        queue     text NOT NULL,
        selection text NOT NULL,
        changed   bigint NOT NULL DEFAULT 0,
        ended_at  double precision
    );
    CREATE OR REPLACE FUNCTION fmq_create_queue(queue integer) RETURNS void LANGUAGE plpgsql AS $function$
    BEGIN
        EXECUTE replace($tables$
            CREATE SEQUENCE IF NOT EXISTS fmq_id_{q};
            CREATE TABLE fmq_msg_{q} (
                id          bigint PRIMARY KEY,
                received_at double precision NOT NULL,
                stored_at   double precision NOT NULL,
                size        bigint NOT NULL,
                qos         smallint NOT NULL CHECK (qos BETWEEN 0 AND 2),
                retain      boolean NOT NULL,
                topic       text NOT NULL,
                properties  text,
                payload     bytea NOT NULL
            );
            ALTER TABLE fmq_msg_{q} ALTER COLUMN payload SET STORAGE EXTERNAL;
            CREATE TABLE fmq_due_{q} (
                id      bigint PRIMARY KEY,
                due_at  double precision NOT NULL,
                token   bigint,
                leased  double precision,
                settled bigint,
                failed  integer NOT NULL DEFAULT 0 CHECK (failed >= 0),
                size    bigint NOT NULL,
                topic   text COLLATE "C" NOT NULL,
                reason  text,
                parked  text
            ) WITH (
                fillfactor = 50,
                autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0,
                autovacuum_analyze_scale_factor = 0.5
            );
            CREATE INDEX fmq_due_{q}_at ON fmq_due_{q} (due_at, id);
            CREATE INDEX fmq_due_{q}_parked ON fmq_due_{q} (parked, id) WHERE parked IS NOT NULL;
            CREATE TABLE fmq_done_{q} (
                id     bigint PRIMARY KEY,
                at     double precision NOT NULL,
                failed integer NOT NULL,
                token  bigint
            );
            CREATE INDEX fmq_done_{q}_at ON fmq_done_{q} (at, id);
            CREATE TABLE fmq_dead_{q} (
                id     bigint PRIMARY KEY,
                at     double precision NOT NULL,
                failed integer NOT NULL,
                token  bigint,
                reason text NOT NULL
            );
            CREATE INDEX fmq_dead_{q}_at ON fmq_dead_{q} (at, id);
            CREATE TABLE fmq_attempt_{q} (
                id     bigint NOT NULL,
                number integer NOT NULL,
                at     double precision NOT NULL,
                cause  text NOT NULL,
                reason text NOT NULL,
                worker text NOT NULL,
                PRIMARY KEY (id, number)
            );
            INSERT INTO fmq_count (queue, slot) SELECT {q}, slot FROM generate_series(0, 15) AS slot;
        $tables$, '{q}', queue::text);
    END
    $function$;
    CREATE OR REPLACE FUNCTION fmq_drop_queue(queue integer) RETURNS void LANGUAGE plpgsql AS $function$
    BEGIN
        EXECUTE replace($tables$
            DROP TABLE fmq_msg_{q}, fmq_due_{q}, fmq_done_{q}, fmq_dead_{q}, fmq_attempt_{q}
        $tables$, '{q}', queue::text);
    END
    $function$;
    """,
)
LATEST_VERSION = len(MIGRATIONS)
OLDEST_VERSION = 1
"""The oldest schema version whose fmq can still use a database of the latest one, for upgrades one service at a time."""


def migrate(ask: Ask, version: int) -> None:
    """Apply the migrations after ``version`` (0: an empty database). Within the caller's transaction, under its lock."""
    if 0 < version < OLDEST_VERSION:
        ask(_LOCK_OUT, None)
    for number, step in enumerate(MIGRATIONS[version:], version + 1):
        ask(step.encode(), None)
        ask(_NOTE, {"version": number, "oldest": OLDEST_VERSION})
