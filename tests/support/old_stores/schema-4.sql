-- A store of schema 4, before queues knew their order. a/#: 2 never lent, 1 waits for a retry, 1 claimed, 1 done, 1 dead.
BEGIN TRANSACTION;
-- Table  fmq_key
CREATE TABLE fmq_key (
        queue      TEXT NOT NULL,
        key        TEXT NOT NULL,
        expires_at REAL NOT NULL,
        PRIMARY KEY (queue, key)
    ) WITHOUT ROWID;
-- Triggers and indices on  fmq_key
CREATE INDEX fmq_key_expiry ON fmq_key (expires_at);
-- Table  fmq_msg_a___lent
CREATE TABLE "fmq_msg_a___lent" (
    id          INTEGER PRIMARY KEY,
    due_at      REAL NOT NULL,
    token       INTEGER,
    received_at REAL,
    CHECK (token IS NOT NULL OR received_at IS NOT NULL)
);
INSERT INTO fmq_msg_a___lent VALUES(3,1800000030.0,NULL,1800000000.0);
INSERT INTO fmq_msg_a___lent VALUES(4,1800000060.0,1,NULL);
-- Triggers and indices on  fmq_msg_a___lent
CREATE INDEX "fmq_msg_a___due" ON "fmq_msg_a___lent" (due_at, id);
CREATE INDEX "fmq_msg_a___waiting" ON "fmq_msg_a___lent" (received_at) WHERE token IS NULL;
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
    , paused_at REAL, paused_reason TEXT) WITHOUT ROWID;
INSERT INTO fmq_queue VALUES('a/#','msg_a__',1800000000.0,4,6,3,1,1,1,NULL,NULL);
INSERT INTO fmq_queue VALUES('plain','msg_plain',1800000000.0,0,0,0,0,0,0,NULL,NULL);
-- Table  fmq_receipt
CREATE TABLE fmq_receipt (
        session TEXT NOT NULL,
        number  INTEGER NOT NULL,
        data    BLOB NOT NULL,
        PRIMARY KEY (session, number)
    ) WITHOUT ROWID;
-- Table  fmq_token
CREATE TABLE fmq_token (
        one   INTEGER PRIMARY KEY CHECK (one = 1),
        token INTEGER NOT NULL
    );
INSERT INTO fmq_token VALUES(1,1);
-- Table  msg_a__
CREATE TABLE "msg_a__" (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic        TEXT NOT NULL,
    received_at  REAL NOT NULL,
    processed    INTEGER NOT NULL DEFAULT 0 CHECK (processed IN (0, 1)),
    retry_count  INTEGER NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    qos          INTEGER CHECK (qos BETWEEN 0 AND 2),
    retain       INTEGER NOT NULL DEFAULT 0 CHECK (retain IN (0, 1)),
    properties   TEXT,
    changed_at   REAL,
    dead_at      REAL,
    reason       TEXT,
    payload      BLOB NOT NULL,
    CHECK (dead_at IS NULL OR processed = 1)
);
INSERT INTO msg_a__ VALUES(1,'a/0',1800000000.0,1,0,1,0,NULL,1799999999.999999,NULL,NULL,X'30');
INSERT INTO msg_a__ VALUES(2,'a/1',1800000000.0,1,0,1,0,NULL,1799999999.999999,1800000000.0,'no',X'31');
INSERT INTO msg_a__ VALUES(3,'a/0',1800000000.0,0,1,1,0,NULL,1800000000.0,NULL,'later',X'32');
INSERT INTO msg_a__ VALUES(4,'a/1',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'33');
INSERT INTO msg_a__ VALUES(5,'a/0',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'34');
INSERT INTO msg_a__ VALUES(6,'a/1',1800000000.0,0,0,1,0,NULL,1800000000.0,NULL,NULL,X'35');
-- Triggers and indices on  msg_a__
CREATE INDEX "fmq_msg_a___dead" ON "msg_a__" (id) WHERE dead_at IS NOT NULL;
CREATE TRIGGER "fmq_msg_a___forgotten" AFTER DELETE ON "msg_a__" WHEN OLD.processed = 1 BEGIN
    UPDATE fmq_queue SET
        done = done - (OLD.dead_at IS NULL),
        dead = dead - (OLD.dead_at IS NOT NULL)
    WHERE name = 'a/#';
END;
CREATE TRIGGER "fmq_msg_a___inserted" AFTER INSERT ON "msg_a__" WHEN NEW.qos IS NULL BEGIN
    INSERT INTO "fmq_msg_a___lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE NEW.processed = 0 AND NEW.id <= (SELECT head FROM fmq_queue WHERE name = 'a/#');
    UPDATE fmq_queue SET
        stored  = stored + 1,
        pending = pending + (NEW.processed = 0),
        done    = done + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead + (NEW.dead_at IS NOT NULL)
    WHERE name = 'a/#';
END;
CREATE TRIGGER "fmq_msg_a___removed" AFTER DELETE ON "msg_a__" WHEN OLD.processed = 0 BEGIN
    UPDATE fmq_queue SET pending = pending - 1 + gone.claims, claimed = claimed - gone.claims
    FROM (SELECT count(token) AS claims FROM "fmq_msg_a___lent" WHERE id = OLD.id) AS gone
    WHERE name = 'a/#';
    DELETE FROM "fmq_msg_a___lent" WHERE id = OLD.id;
END;
CREATE TRIGGER "fmq_msg_a___updated" AFTER UPDATE OF processed, dead_at ON "msg_a__" WHEN NEW.changed_at IS OLD.changed_at BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND gone.claims = 0) + (NEW.processed = 0 AND kept.claims = 0),
        claimed = claimed - gone.claims + kept.claims,
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL) + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL) + (NEW.dead_at IS NOT NULL)
    FROM (SELECT count(token) AS claims FROM "fmq_msg_a___lent" WHERE id = OLD.id) AS gone,
        (SELECT count(token) AS claims FROM "fmq_msg_a___lent" WHERE id = NEW.id AND NEW.processed = 0) AS kept
    WHERE name = 'a/#';
    DELETE FROM "fmq_msg_a___lent" WHERE id = NEW.id AND NEW.processed = 1;
    INSERT INTO "fmq_msg_a___lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE OLD.processed = 1 AND NEW.processed = 0 ON CONFLICT DO NOTHING;
END;
-- Table  msg_plain
CREATE TABLE "msg_plain" (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic        TEXT NOT NULL,
    received_at  REAL NOT NULL,
    processed    INTEGER NOT NULL DEFAULT 0 CHECK (processed IN (0, 1)),
    retry_count  INTEGER NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    qos          INTEGER CHECK (qos BETWEEN 0 AND 2),
    retain       INTEGER NOT NULL DEFAULT 0 CHECK (retain IN (0, 1)),
    properties   TEXT,
    changed_at   REAL,
    dead_at      REAL,
    reason       TEXT,
    payload      BLOB NOT NULL,
    CHECK (dead_at IS NULL OR processed = 1)
);
-- Triggers and indices on  msg_plain
CREATE INDEX "fmq_msg_plain_dead" ON "msg_plain" (id) WHERE dead_at IS NOT NULL;
CREATE TRIGGER "fmq_msg_plain_forgotten" AFTER DELETE ON "msg_plain" WHEN OLD.processed = 1 BEGIN
    UPDATE fmq_queue SET
        done = done - (OLD.dead_at IS NULL),
        dead = dead - (OLD.dead_at IS NOT NULL)
    WHERE name = 'plain';
END;
CREATE TRIGGER "fmq_msg_plain_inserted" AFTER INSERT ON "msg_plain" WHEN NEW.qos IS NULL BEGIN
    INSERT INTO "fmq_msg_plain_lent" (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE NEW.processed = 0 AND NEW.id <= (SELECT head FROM fmq_queue WHERE name = 'plain');
    UPDATE fmq_queue SET
        stored  = stored + 1,
        pending = pending + (NEW.processed = 0),
        done    = done + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead + (NEW.dead_at IS NOT NULL)
    WHERE name = 'plain';
END;
CREATE TRIGGER "fmq_msg_plain_removed" AFTER DELETE ON "msg_plain" WHEN OLD.processed = 0 BEGIN
    UPDATE fmq_queue SET pending = pending - 1 + gone.claims, claimed = claimed - gone.claims
    FROM (SELECT count(token) AS claims FROM "fmq_msg_plain_lent" WHERE id = OLD.id) AS gone
    WHERE name = 'plain';
    DELETE FROM "fmq_msg_plain_lent" WHERE id = OLD.id;
END;
CREATE TRIGGER "fmq_msg_plain_updated" AFTER UPDATE OF processed, dead_at ON "msg_plain" WHEN NEW.changed_at IS OLD.changed_at BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND gone.claims = 0) + (NEW.processed = 0 AND kept.claims = 0),
        claimed = claimed - gone.claims + kept.claims,
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL) + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL) + (NEW.dead_at IS NOT NULL)
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
-- Database header
pragma user_version=4;
pragma application_id=1179472177;
COMMIT TRANSACTION;
