"""The command ``fmq`` of a later version, as far as the tables go: run it as ``newer_fmq.py adds|changes ARGUMENTS…``.

It has one migration more, which adds to every kind of table. With ``changes``, older services can't use the store any more.
"""

import sys

from fmq.cli.main import main
from fmq.store.postgres.schema import migrations

MIGRATION = """
    ALTER TABLE fmq_queue ADD COLUMN colour text;
    ALTER TABLE fmq_count ADD COLUMN coloured bigint NOT NULL DEFAULT 0;
    ALTER TABLE fmq_note ADD COLUMN colour text;
    CREATE TABLE fmq_colour (name text PRIMARY KEY);
    CREATE FUNCTION fmq_add_colour(queue integer) RETURNS void LANGUAGE plpgsql AS $function$
    BEGIN
        EXECUTE replace($tables$
            ALTER TABLE fmq_msg_{q} ADD COLUMN colour text;
            ALTER TABLE fmq_due_{q} ADD COLUMN colour text NOT NULL DEFAULT 'grey';
            ALTER TABLE fmq_done_{q} ADD COLUMN colour text;
            ALTER TABLE fmq_dead_{q} ADD COLUMN colour text;
            CREATE INDEX fmq_due_{q}_colour ON fmq_due_{q} (colour, id);
            CREATE TABLE fmq_colour_{q} (id bigint PRIMARY KEY);
        $tables$, '{q}', queue::text);
    END
    $function$;
    SELECT fmq_add_colour(number) FROM fmq_queue;
    ALTER FUNCTION fmq_create_queue RENAME TO fmq_create_queue_1;
    CREATE FUNCTION fmq_create_queue(queue integer) RETURNS void LANGUAGE sql AS $function$
        SELECT fmq_create_queue_1(queue); SELECT fmq_add_colour(queue);
    $function$;
    ALTER FUNCTION fmq_drop_queue RENAME TO fmq_drop_queue_1;
    CREATE FUNCTION fmq_drop_queue(queue integer) RETURNS void LANGUAGE plpgsql AS $function$
    BEGIN
        PERFORM fmq_drop_queue_1(queue);
        EXECUTE format('DROP TABLE fmq_colour_%s', queue);
    END
    $function$;
"""


def become_newer(*, oldest: int | None = None) -> None:
    """Add the migration to this process's fmq. ``oldest``: the oldest version that may go on; the present one without it."""
    migrations.MIGRATIONS = (*migrations.MIGRATIONS, MIGRATION)
    migrations.LATEST_VERSION = len(migrations.MIGRATIONS)
    if oldest is not None:
        migrations.OLDEST_VERSION = oldest


if __name__ == "__main__":
    become_newer(oldest=migrations.LATEST_VERSION + 1 if sys.argv.pop(1) == "changes" else None)
    main()
