"""`fmq status`: how the queues stand."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import click

from fmq.cli import read_settings, settings_options
from fmq.commands.table import print_table
from fmq.queue import Durability, open_queue
from fmq.settings import StoreSettings


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@settings_options(StoreSettings, but=("check_integrity", "synchronous"))
def status(*, as_json: bool, **flags: object) -> None:
    """Show how many messages of each queue are pending, claimed, done and dead."""
    settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
    with open_queue(settings.queue_url, settings.store_options(Durability.NORMAL), create=False) as queue:
        queues = [queue.stats(name) for name in queue.names()]
        store = queue.store_stats()
    if as_json:
        click.echo(json.dumps({"queues": [asdict(one) for one in queues], "store": asdict(store)}, indent=2))
        return
    print_table(
        ("QUEUE", "PENDING", "CLAIMED", "DONE", "DEAD", "STORED", "OLDEST PENDING"),
        [(q.name, q.pending, q.claimed, q.done, q.dead, q.stored, moment(q.oldest_pending_at)) for q in queues],
    )
    mib = 1024 * 1024
    click.echo(
        f"\n{settings.queue_url}: {store.database_bytes / mib:.1f} MiB, write-ahead log {store.wal_bytes / mib:.1f} MiB, "
        f"free on its disk {store.free_disk_bytes / mib:,.0f} MiB"
    )


def moment(at: float | None) -> str:
    """Unix seconds as a time in UTC, or a dash."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
