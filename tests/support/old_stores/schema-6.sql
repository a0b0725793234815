-- A store of schema 6: that of schema 5, after its migration.
BEGIN TRANSACTION;
-- Table  fmq_action
CREATE TABLE fmq_action (
            number    INTEGER PRIMARY KEY AUTOINCREMENT,
            at        REAL NOT NULL,
            actor     TEXT NOT NULL,
            kind      TEXT NOT NULL,
            queue     TEXT NOT NULL,
            selection TEXT NOT NULL,
            changed   INTEGER NOT NULL DEFAULT 0,
            ended_at  REAL
        );
-- Table  fmq_key
CREATE TABLE fmq_key (
        queue      TEXT NOT NULL,
        key        TEXT NOT NULL,
        expires_at REAL NOT NULL,
        PRIMARY KEY (queue, key)
    ) WITHOUT ROWID;
INSERT INTO fmq_key VALUES('a/#','k1',1800000600.0);
-- Triggers and indices on  fmq_key
CREATE INDEX fmq_key_expiry ON fmq_key (expires_at);
-- Table  fmq_mark
CREATE TABLE fmq_mark (
            queue   TEXT NOT NULL,
            at      REAL NOT NULL,
            last_id INTEGER NOT NULL,
            PRIMARY KEY (queue, at)
        ) WITHOUT ROWID;
INSERT INTO fmq_mark VALUES('a/#',1800000000.0,6);
INSERT INTO fmq_mark VALUES('ordered/#',1800000000.0,4);
INSERT INTO fmq_mark VALUES('plain',1800000000.0,0);
-- Table  fmq_minute
CREATE TABLE fmq_minute (
            minute INTEGER PRIMARY KEY,
            data   TEXT NOT NULL
        );
-- Table  fmq_msg_a___attempts
CREATE TABLE "fmq_msg_a___attempts" (
    id     INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at     REAL NOT NULL,
    cause  TEXT NOT NULL,
    reason TEXT NOT NULL,
    worker TEXT NOT NULL,
    PRIMARY KEY (id, number)
) WITHOUT ROWID;
-- Table  fmq_msg_a___lent
CREATE TABLE "fmq_msg_a___lent" (
    id          INTEGER PRIMARY KEY,
    due_at      REAL NOT NULL,
    token       INTEGER,
    received_at REAL,
    CHECK (token IS NOT NULL OR received_at IS NOT NULL)
);
INSERT INTO fmq_msg_a___lent VALUES(3,1800000030.0,NULL,1800000000.0);
INSERT INTO fmq_msg_a___lent VALUES(4,1800000060.0,2,NULL);
INSERT INTO fmq_msg_a___lent VALUES(5,1800000090.0,NULL,1800000000.0);
-- Triggers and indices on  fmq_msg_a___lent
CREATE INDEX "fmq_msg_a___due" ON "fmq_msg_a___lent" (due_at, id);
CREATE INDEX "fmq_msg_a___waiting" ON "fmq_msg_a___lent" (received_at) WHERE token IS NULL;
-- Table  fmq_msg_ordered___attempts
CREATE TABLE "fmq_msg_ordered___attempts" (
    id     INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at     REAL NOT NULL,
    cause  TEXT NOT NULL,
    reason TEXT NOT NULL,
    worker TEXT NOT NULL,
    PRIMARY KEY (id, number)
) WITHOUT ROWID;
-- Table  fmq_msg_ordered___lent
CREATE TABLE "fmq_msg_ordered___lent" (
    id          INTEGER PRIMARY KEY,
    due_at      REAL NOT NULL,
    token       INTEGER,
    received_at REAL,
    CHECK (token IS NOT NULL OR received_at IS NOT NULL)
);
INSERT INTO fmq_msg_ordered___lent VALUES(1,1800000060.0,3,NULL);
-- Triggers and indices on  fmq_msg_ordered___lent
CREATE INDEX "fmq_msg_ordered___due" ON "fmq_msg_ordered___lent" (due_at, id);
CREATE INDEX "fmq_msg_ordered___out" ON "fmq_msg_ordered___lent" (id) WHERE token IS NOT NULL;
CREATE INDEX "fmq_msg_ordered___waiting" ON "fmq_msg_ordered___lent" (received_at) WHERE token IS NULL;
-- Table  fmq_msg_plain_attempts
CREATE TABLE "fmq_msg_plain_attempts" (
    id     INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at     REAL NOT NULL,
    cause  TEXT NOT NULL,
    reason TEXT NOT NULL,
    worker TEXT NOT NULL,
    PRIMARY KEY (id, number)
) WITHOUT ROWID;
-- Table  fmq_msg_plain_lent
CREATE TABLE "fmq_msg_plain_lent" (
    id          INTEGER PRIMARY KEY,
    due_at      REAL NOT NULL,
    token       INTEGER,
    received_at REAL,
    CHECK (token IS NOT NULL OR received_at IS NOT NULL)
);
-- Triggers and indices on  fmq_msg_plain_lent
CREATE INDEX "fmq_msg_plain_due" ON "fmq_msg_plain_lent" (due_at, id);
CREATE INDEX "fmq_msg_plain_waiting" ON "fmq_msg_plain_lent" (received_at) WHERE token IS NULL;
-- Table  fmq_note
CREATE TABLE fmq_note (
        key   TEXT PRIMARY KEY NOT NULL,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO fmq_note VALUES('boot_id','boot-1');
INSERT INTO fmq_note VALUES('clock_offset','1799999000.0');
INSERT INTO fmq_note VALUES('clock_seen','1800000000.0 1800000000.0');
INSERT INTO fmq_note VALUES('subscribed','[]');
-- Table  fmq_queue
CREATE TABLE fmq_queue (
        name       TEXT PRIMARY KEY NOT NULL,
        table_name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        created_at REAL NOT NULL,
        head       INTEGER NOT NULL DEFAULT 0,
        stored     INTEGER NOT NULL DEFAULT 0 CHECK (stored >= 0),
        pending    INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
        claimed    INTEGER NOT NULL DEFAULT 0 CHECK (claimed >= 0),
        done       INTEGER NOT NULL DEFAULT 0 CHECK (done >= 0),
        dead       INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0)
    , paused_at REAL, paused_reason TEXT, ordered INTEGER CHECK (ordered IN (0, 1)), handled INTEGER NOT NULL DEFAULT 0 CHECK (handled >= 0), failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0), died INTEGER NOT NULL DEFAULT 0 CHECK (died >= 0)) WITHOUT ROWID;
INSERT INTO fmq_queue VALUES('a/#','msg_a__',1800000000.0,4,6,3,1,1,1,NULL,NULL,0,1,0,1);
INSERT INTO fmq_queue VALUES('ordered/#','msg_ordered__',1800000000.0,0,4,3,1,0,0,NULL,NULL,1,0,0,0);
INSERT INTO fmq_queue VALUES('plain','msg_plain',1800000000.0,0,0,0,0,0,0,1800000000.0,'for a test',NULL,0,0,0);
-- Table  fmq_receipt
CREATE TABLE fmq_receipt (
        session TEXT NOT NULL,
        number  INTEGER NOT NULL,
        data    BLOB NOT NULL,
        PRIMARY KEY (session, number)
    ) WITHOUT ROWID;
INSERT INTO fmq_receipt VALUES('s',1,X'72');
-- Table  fmq_service
CREATE TABLE fmq_service (
            name    TEXT PRIMARY KEY NOT NULL,
            seen_at REAL NOT NULL,
            data    TEXT NOT NULL
        ) WITHOUT ROWID;
-- Table  fmq_token
CREATE TABLE fmq_token (
        one   INTEGER PRIMARY KEY CHECK (one = 1),
        token INTEGER NOT NULL
    );
INSERT INTO fmq_token VALUES(1,3);
-- Table  msg_a__
CREATE TABLE "msg_a__" (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic        TEXT NOT NULL,
    received_at  REAL NOT NULL,
    processed    INTEGER NOT NULL DEFAULT 0 CHECK (processed IN (0, 1)),
    retry_count  INTEGER NOT NULL DEFAULT 0,
    qos          INTEGER CHECK (qos BETWEEN 0 AND 2),
    retain       INTEGER NOT NULL DEFAULT 0 CHECK (retain IN (0, 1)),
    properties   TEXT,
    changed_at   REAL,
    dead_at      REAL,
    reason       TEXT,
    payload      BLOB NOT NULL,
    CHECK (dead_at IS NULL OR processed = 1),
    -- A text or a blob is larger than every number.
    CONSTRAINT "topic is not text" CHECK (typeof(topic) = 'text'),
    CONSTRAINT "received_at is not a time in Unix seconds" CHECK (received_at >= 0 AND received_at < 253402300800),
    CONSTRAINT "retry_count is not a count" CHECK (retry_count BETWEEN 0 AND 2147483647)
);
INSERT INTO msg_a__ VALUES(1,'a/1',1800000000.0,1,0,1,0,'{"user_properties":[["k","v"]]}',1799999999.999999,NULL,NULL,X'31');
INSERT INTO msg_a__ VALUES(2,'a/2',1800000000.0,1,0,1,0,NULL,1799999999.999999,1800000000.0,'broken pipe 42',X'32');
INSERT INTO msg_a__ VALUES(3,'a/3',1800000000.0,0,1,1,0,NULL,1800000000.0,NULL,'later',X'33');
INSERT INTO msg_a__ VALUES(4,'a/4',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'34');
INSERT INTO msg_a__ VALUES(5,'a/5',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'35');
INSERT INTO msg_a__ VALUES(6,'a/6',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'36');
-- Triggers and indices on  msg_a__
CREATE INDEX "fmq_msg_a___dead" ON "msg_a__" (id) WHERE dead_at IS NOT NULL;
CREATE INDEX "fmq_msg_a___died" ON "msg_a__" (dead_at, id) WHERE dead_at IS NOT NULL;
CREATE TRIGGER "fmq_msg_a___forgotten" AFTER DELETE ON "msg_a__" WHEN OLD.processed = 1 BEGIN
    UPDATE fmq_queue SET
        done = done - (OLD.dead_at IS NULL),
        dead = dead - (OLD.dead_at IS NOT NULL)
    WHERE name = 'a/#';
    DELETE FROM "fmq_msg_a___attempts" WHERE id = OLD.id;
END;
CREATE TRIGGER "fmq_msg_a___inserted" AFTER INSERT ON "msg_a__" WHEN NEW.qos IS NULL BEGIN
    SELECT RAISE(ABORT, 'topic is not text') WHERE typeof(NEW.topic) <> 'text';
    SELECT RAISE(ABORT, 'received_at is not a time in Unix seconds')
        WHERE NEW.received_at < 0 OR NEW.received_at >= 253402300800;
    SELECT RAISE(ABORT, 'retry_count is not a count') WHERE NEW.retry_count NOT BETWEEN 0 AND 2147483647;
    SELECT RAISE(ABORT, 'id leaves no room for later ones') WHERE NEW.id > 4611686018427387904;
    INSERT INTO "fmq_msg_a___lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE NEW.processed = 0 AND NEW.id <= (SELECT head FROM fmq_queue WHERE name = 'a/#');
    UPDATE fmq_queue SET
        stored  = stored + 1,
        pending = pending + (NEW.processed = 0),
        done    = done + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead + (NEW.dead_at IS NOT NULL),
        handled = handled + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        died    = died + (NEW.dead_at IS NOT NULL)
    WHERE name = 'a/#';
END;
CREATE TRIGGER "fmq_msg_a___removed" AFTER DELETE ON "msg_a__" WHEN OLD.processed = 0 BEGIN
    UPDATE fmq_queue SET pending = pending - 1 + gone.claims, claimed = claimed - gone.claims
    FROM (SELECT count(token) AS claims FROM "fmq_msg_a___lent" WHERE id = OLD.id) AS gone
    WHERE name = 'a/#';
    DELETE FROM "fmq_msg_a___lent" WHERE id = OLD.id;
    DELETE FROM "fmq_msg_a___attempts" WHERE id = OLD.id;
END;
CREATE TRIGGER "fmq_msg_a___updated" AFTER UPDATE OF processed, dead_at ON "msg_a__" WHEN NEW.changed_at IS OLD.changed_at BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND gone.claims = 0) + (NEW.processed = 0 AND kept.claims = 0),
        claimed = claimed - gone.claims + kept.claims,
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL) + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL) + (NEW.dead_at IS NOT NULL),
        handled = handled + (NEW.processed = 1 AND NEW.dead_at IS NULL AND (OLD.processed = 0 OR OLD.dead_at IS NOT NULL)),
        died    = died + (NEW.dead_at IS NOT NULL AND OLD.dead_at IS NULL)
    FROM (SELECT count(token) AS claims FROM "fmq_msg_a___lent" WHERE id = OLD.id) AS gone,
        (SELECT count(token) AS claims FROM "fmq_msg_a___lent" WHERE id = NEW.id AND NEW.processed = 0) AS kept
    WHERE name = 'a/#';
    DELETE FROM "fmq_msg_a___lent" WHERE id = NEW.id AND NEW.processed = 1;
    INSERT INTO "fmq_msg_a___lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE OLD.processed = 1 AND NEW.processed = 0 ON CONFLICT DO NOTHING;
END;
-- Table  msg_ordered__
CREATE TABLE "msg_ordered__" (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic        TEXT NOT NULL,
    received_at  REAL NOT NULL,
    processed    INTEGER NOT NULL DEFAULT 0 CHECK (processed IN (0, 1)),
    retry_count  INTEGER NOT NULL DEFAULT 0,
    qos          INTEGER CHECK (qos BETWEEN 0 AND 2),
    retain       INTEGER NOT NULL DEFAULT 0 CHECK (retain IN (0, 1)),
    properties   TEXT,
    changed_at   REAL,
    dead_at      REAL,
    reason       TEXT,
    payload      BLOB NOT NULL,
    CHECK (dead_at IS NULL OR processed = 1),
    -- A text or a blob is larger than every number.
    CONSTRAINT "topic is not text" CHECK (typeof(topic) = 'text'),
    CONSTRAINT "received_at is not a time in Unix seconds" CHECK (received_at >= 0 AND received_at < 253402300800),
    CONSTRAINT "retry_count is not a count" CHECK (retry_count BETWEEN 0 AND 2147483647)
);
INSERT INTO msg_ordered__ VALUES(1,'ordered/0',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'30');
INSERT INTO msg_ordered__ VALUES(2,'ordered/1',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'31');
INSERT INTO msg_ordered__ VALUES(3,'ordered/0',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'32');
INSERT INTO msg_ordered__ VALUES(4,'ordered/1',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'33');
-- Triggers and indices on  msg_ordered__
CREATE INDEX "fmq_msg_ordered___dead" ON "msg_ordered__" (id) WHERE dead_at IS NOT NULL;
CREATE INDEX "fmq_msg_ordered___died" ON "msg_ordered__" (dead_at, id) WHERE dead_at IS NOT NULL;
CREATE TRIGGER "fmq_msg_ordered___forgotten" AFTER DELETE ON "msg_ordered__" WHEN OLD.processed = 1 BEGIN
    UPDATE fmq_queue SET
        done = done - (OLD.dead_at IS NULL),
        dead = dead - (OLD.dead_at IS NOT NULL)
    WHERE name = 'ordered/#';
    DELETE FROM "fmq_msg_ordered___attempts" WHERE id = OLD.id;
END;
CREATE TRIGGER "fmq_msg_ordered___inserted" AFTER INSERT ON "msg_ordered__" WHEN NEW.qos IS NULL BEGIN
    SELECT RAISE(ABORT, 'topic is not text') WHERE typeof(NEW.topic) <> 'text';
    SELECT RAISE(ABORT, 'received_at is not a time in Unix seconds')
        WHERE NEW.received_at < 0 OR NEW.received_at >= 253402300800;
    SELECT RAISE(ABORT, 'retry_count is not a count') WHERE NEW.retry_count NOT BETWEEN 0 AND 2147483647;
    SELECT RAISE(ABORT, 'id leaves no room for later ones') WHERE NEW.id > 4611686018427387904;
    INSERT INTO "fmq_msg_ordered___lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE NEW.processed = 0 AND NEW.id <= (SELECT head FROM fmq_queue WHERE name = 'ordered/#');
    UPDATE fmq_queue SET
        stored  = stored + 1,
        pending = pending + (NEW.processed = 0),
        done    = done + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead + (NEW.dead_at IS NOT NULL),
        handled = handled + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        died    = died + (NEW.dead_at IS NOT NULL)
    WHERE name = 'ordered/#';
END;
CREATE TRIGGER "fmq_msg_ordered___removed" AFTER DELETE ON "msg_ordered__" WHEN OLD.processed = 0 BEGIN
    UPDATE fmq_queue SET pending = pending - 1 + gone.claims, claimed = claimed - gone.claims
    FROM (SELECT count(token) AS claims FROM "fmq_msg_ordered___lent" WHERE id = OLD.id) AS gone
    WHERE name = 'ordered/#';
    DELETE FROM "fmq_msg_ordered___lent" WHERE id = OLD.id;
    DELETE FROM "fmq_msg_ordered___attempts" WHERE id = OLD.id;
END;
CREATE INDEX "fmq_msg_ordered___topic" ON "msg_ordered__" (topic, id) WHERE processed = 0;
CREATE TRIGGER "fmq_msg_ordered___updated" AFTER UPDATE OF processed, dead_at ON "msg_ordered__" WHEN NEW.changed_at IS OLD.changed_at BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND gone.claims = 0) + (NEW.processed = 0 AND kept.claims = 0),
        claimed = claimed - gone.claims + kept.claims,
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL) + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL) + (NEW.dead_at IS NOT NULL),
        handled = handled + (NEW.processed = 1 AND NEW.dead_at IS NULL AND (OLD.processed = 0 OR OLD.dead_at IS NOT NULL)),
        died    = died + (NEW.dead_at IS NOT NULL AND OLD.dead_at IS NULL)
    FROM (SELECT count(token) AS claims FROM "fmq_msg_ordered___lent" WHERE id = OLD.id) AS gone,
        (SELECT count(token) AS claims FROM "fmq_msg_ordered___lent" WHERE id = NEW.id AND NEW.processed = 0) AS kept
    WHERE name = 'ordered/#';
    DELETE FROM "fmq_msg_ordered___lent" WHERE id = NEW.id AND NEW.processed = 1;
    INSERT INTO "fmq_msg_ordered___lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE OLD.processed = 1 AND NEW.processed = 0 ON CONFLICT DO NOTHING;
END;
-- Table  msg_plain
CREATE TABLE "msg_plain" (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic        TEXT NOT NULL,
    received_at  REAL NOT NULL,
    processed    INTEGER NOT NULL DEFAULT 0 CHECK (processed IN (0, 1)),
    retry_count  INTEGER NOT NULL DEFAULT 0,
    qos          INTEGER CHECK (qos BETWEEN 0 AND 2),
    retain       INTEGER NOT NULL DEFAULT 0 CHECK (retain IN (0, 1)),
    properties   TEXT,
    changed_at   REAL,
    dead_at      REAL,
    reason       TEXT,
    payload      BLOB NOT NULL,
    CHECK (dead_at IS NULL OR processed = 1),
    -- A text or a blob is larger than every number.
    CONSTRAINT "topic is not text" CHECK (typeof(topic) = 'text'),
    CONSTRAINT "received_at is not a time in Unix seconds" CHECK (received_at >= 0 AND received_at < 253402300800),
    CONSTRAINT "retry_count is not a count" CHECK (retry_count BETWEEN 0 AND 2147483647)
);
-- Triggers and indices on  msg_plain
CREATE INDEX "fmq_msg_plain_dead" ON "msg_plain" (id) WHERE dead_at IS NOT NULL;
CREATE INDEX "fmq_msg_plain_died" ON "msg_plain" (dead_at, id) WHERE dead_at IS NOT NULL;
CREATE TRIGGER "fmq_msg_plain_forgotten" AFTER DELETE ON "msg_plain" WHEN OLD.processed = 1 BEGIN
    UPDATE fmq_queue SET
        done = done - (OLD.dead_at IS NULL),
        dead = dead - (OLD.dead_at IS NOT NULL)
    WHERE name = 'plain';
    DELETE FROM "fmq_msg_plain_attempts" WHERE id = OLD.id;
END;
CREATE TRIGGER "fmq_msg_plain_inserted" AFTER INSERT ON "msg_plain" WHEN NEW.qos IS NULL BEGIN
    SELECT RAISE(ABORT, 'topic is not text') WHERE typeof(NEW.topic) <> 'text';
    SELECT RAISE(ABORT, 'received_at is not a time in Unix seconds')
        WHERE NEW.received_at < 0 OR NEW.received_at >= 253402300800;
    SELECT RAISE(ABORT, 'retry_count is not a count') WHERE NEW.retry_count NOT BETWEEN 0 AND 2147483647;
    SELECT RAISE(ABORT, 'id leaves no room for later ones') WHERE NEW.id > 4611686018427387904;
    INSERT INTO "fmq_msg_plain_lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE NEW.processed = 0 AND NEW.id <= (SELECT head FROM fmq_queue WHERE name = 'plain');
    UPDATE fmq_queue SET
        stored  = stored + 1,
        pending = pending + (NEW.processed = 0),
        done    = done + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead + (NEW.dead_at IS NOT NULL),
        handled = handled + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        died    = died + (NEW.dead_at IS NOT NULL)
    WHERE name = 'plain';
END;
CREATE TRIGGER "fmq_msg_plain_removed" AFTER DELETE ON "msg_plain" WHEN OLD.processed = 0 BEGIN
    UPDATE fmq_queue SET pending = pending - 1 + gone.claims, claimed = claimed - gone.claims
    FROM (SELECT count(token) AS claims FROM "fmq_msg_plain_lent" WHERE id = OLD.id) AS gone
    WHERE name = 'plain';
    DELETE FROM "fmq_msg_plain_lent" WHERE id = OLD.id;
    DELETE FROM "fmq_msg_plain_attempts" WHERE id = OLD.id;
END;
CREATE TRIGGER "fmq_msg_plain_updated" AFTER UPDATE OF processed, dead_at ON "msg_plain" WHEN NEW.changed_at IS OLD.changed_at BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND gone.claims = 0) + (NEW.processed = 0 AND kept.claims = 0),
        claimed = claimed - gone.claims + kept.claims,
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL) + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL) + (NEW.dead_at IS NOT NULL),
        handled = handled + (NEW.processed = 1 AND NEW.dead_at IS NULL AND (OLD.processed = 0 OR OLD.dead_at IS NOT NULL)),
        died    = died + (NEW.dead_at IS NOT NULL AND OLD.dead_at IS NULL)
    FROM (SELECT count(token) AS claims FROM "fmq_msg_plain_lent" WHERE id = OLD.id) AS gone,
        (SELECT count(token) AS claims FROM "fmq_msg_plain_lent" WHERE id = NEW.id AND NEW.processed = 0) AS kept
    WHERE name = 'plain';
    DELETE FROM "fmq_msg_plain_lent" WHERE id = NEW.id AND NEW.processed = 1;
    INSERT INTO "fmq_msg_plain_lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE OLD.processed = 1 AND NEW.processed = 0 ON CONFLICT DO NOTHING;
END;
-- For primary key autoincrements the next id to use is stored in
-- sqlite_sequence
DELETE FROM main.sqlite_sequence WHERE name='msg_a__';
INSERT INTO main.sqlite_sequence VALUES ('msg_a__', 6);
DELETE FROM main.sqlite_sequence WHERE name='msg_ordered__';
INSERT INTO main.sqlite_sequence VALUES ('msg_ordered__', 4);
-- Database header
pragma user_version=6;
pragma application_id=1179472177;
COMMIT TRANSACTION;
