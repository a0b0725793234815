# ruff: noqa: INP001 - a script
"""Makes the dashboards in this folder: `python monitoring/grafana/make_dashboards.py` (with `--check`: only compare).

Every service of a store shows the figures of the store: they are taken as max or min over the services of one store (a pod in
Kubernetes), and only then summed over stores.
"""

import json
import sys
from pathlib import Path

from panels import Json, Panel, dashboard, thresholds, variable

FOLDER = Path(__file__).parent / "dashboards"
_STORE = "namespace, pod"
_PENDING = f'sum by (queue) (max by ({_STORE}, queue) (fmq_messages{{,state="pending"}}))'
_AGE = "clamp_min(max by (queue) (time() - fmq_oldest_pending_timestamp_seconds{}), 0)"
_DEAD = f'sum by (queue) (max by ({_STORE}, queue) (fmq_messages{{,state="dead"}}))'
_IN = "sum by (queue) (rate(fmq_stored_total{}[$__rate_interval]))"
_OUT = 'sum by (queue) (rate(fmq_processed_total{,outcome="done"}[$__rate_interval]))'
_AGE_LIMITS = {300.0: "orange", 900.0: "red"}


def _ratio(more: str, by: str) -> str:
    """Failed attempts of all attempts; 0 while there are none, as the counters say."""
    failed = f"sum{by} (rate(fmq_failures_total{{{more}}}[$__rate_interval]))"
    return f"{failed} / (sum{by} (rate(fmq_processed_total{{{more}}}[$__rate_interval])) > 0) or {failed}"


def _quantiles(metric: str, more: str = "") -> dict[str, str]:
    return {
        name: f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{{more}}}[$__rate_interval])))"
        for name, q in (("half", 0.5), ("95 %", 0.95), ("99 %", 0.99))
    }


def _queues_table() -> Panel:
    columns = {"Waiting": (_PENDING, "short"), "Oldest waits": (_AGE, "s"), "In": (_IN, "cps"), "Done": (_OUT, "cps"), "Dead": (_DEAD, "short")}  # fmt: skip
    names = {f"Value #{chr(ord('A') + number)}": column for number, column in enumerate(columns)}
    overrides: list[Json] = [
        {"matcher": {"id": "byName", "options": column}, "properties": [{"id": "unit", "value": unit}]}
        for column, (_, unit) in columns.items()
    ]
    link = {
        "title": "This queue in depth",
        "url": "/d/fmq-queue?var-queue=${__value.raw:percentencode}&${__url_time_range}",
    }
    overrides.append(
        {"matcher": {"id": "byName", "options": "Queue"}, "properties": [{"id": "links", "value": [link]}]}
    )
    base = Panel(title="", description="", unit="short", queries={})
    return Panel(
        title="Queues",
        description="Each queue now. Its name leads to its own dashboard.",
        unit="short",
        kind="table",
        width=24,
        height=7,
        queries={column: expression for column, (expression, _) in columns.items()},
        custom={
            "fieldConfig": {"defaults": {"unit": "short", "thresholds": thresholds(base)}, "overrides": overrides},
            "transformations": [
                {"id": "merge", "options": {}},
                {
                    "id": "organize",
                    "options": {"excludeByName": {"Time": True}, "renameByName": {"queue": "Queue", **names}},
                },
            ],
        },
    )


OVERVIEW: dict[str, list[Panel]] = {
    "Now": [
        Panel(title="Waiting", description="Messages that wait for a processor, all queues.", unit="short", kind="stat", width=3, height=4,
              queries={"": f"sum({_PENDING})"}, limits={100_000.0: "orange"}),
        Panel(title="Oldest waits", description="How long the oldest message of any queue has waited. Nothing is shown if none waits.", unit="s", kind="stat", width=3, height=4,
              queries={"": f"max({_AGE})"}, limits=_AGE_LIMITS),
        Panel(title="Stored", description="Messages a second committed to the store.", unit="cps", kind="stat", width=3, height=4,
              queries={"": f"sum({_IN})"}),
        Panel(title="Done", description="Messages a second that a handler has done.", unit="cps", kind="stat", width=3, height=4,
              queries={"": f"sum({_OUT})"}),
        Panel(title="Attempts that fail", description="Share of all attempts that did not end done.", unit="percentunit", kind="stat", width=3, height=4,
              queries={"": _ratio("", "")}, limits={0.05: "orange", 0.5: "red"}),
        Panel(title="Dead letters", description="Messages given up and kept, until someone requeues or purges them.", unit="short", kind="stat", width=3, height=4,
              queries={"": f"sum({_DEAD})"}, limits={1.0: "orange"}),
        Panel(title="Listeners away", description="Listeners that are not connected and subscribed.", unit="short", kind="stat", width=3, height=4,
              queries={"": "count(fmq_connected{}) - sum(fmq_connected{})"}, limits={1.0: "red"}),
        Panel(title="Free disk", description="On the store with the least.", unit="bytes", kind="stat", width=3, height=4,
              queries={"": "min(fmq_free_disk_bytes{})"}),
        _queues_table(),
    ],
    "Flow": [
        Panel(title="Waiting", description="Messages that wait for a processor.", unit="short", queries={"{{queue}}": _PENDING}),
        Panel(title="Oldest waits", description="Age of the oldest waiting message; alerts come at 15 minutes. A gap: none waits.", unit="s", queries={"{{queue}}": _AGE}),
        Panel(title="Dead letters", description="Messages given up and kept.", unit="short", queries={"{{queue}}": _DEAD}),
        Panel(title="In and out", description="Stored and done a second. Out below in: the backlog grows.", unit="cps", queries={"{{queue}} in": _IN, "{{queue}} done": _OUT}),
        Panel(title="Attempts that fail", description="Share of the attempts that did not end done.", unit="percentunit", queries={"{{queue}}": _ratio("", " by (queue)")}),
        Panel(title="In progress", description="Messages that processors hold at the moment.", unit="short", stacked=True,
              queries={"{{queue}} {{instance}}": "sum by (queue, instance) (fmq_in_progress{})"}),
        Panel(title="Time in the system", description="From receipt to the commit that a message is done, retries included: 95 of 100 are faster.", unit="s", width=12,
              queries={"{{queue}}": "histogram_quantile(0.95, sum by (queue, le) (rate(fmq_time_in_system_seconds_bucket{}[$__rate_interval])))"}),
        Panel(title="Since the last message", description="How long ago a message was stored last, and done last. Stored rises: nothing comes. Only done rises: nothing is handled.", unit="s", width=12,
              queries={"{{queue}} stored": "time() - max by (queue) (fmq_last_stored_timestamp_seconds{})", "{{queue}} done": "time() - max by (queue) (fmq_last_done_timestamp_seconds{})"}),
    ],
    "Listeners": [
        Panel(title="Connected", description="1: connected and subscribed.", unit="bool_on_off", queries={"{{instance}}": "min by (instance) (fmq_connected{})"}),
        Panel(title="Commit time", description="Of one commit of received messages. PUBACKs go out after it.", unit="s", queries=_quantiles("fmq_commit_seconds")),
        Panel(title="Messages in a commit", description="Mean. Rises with the load: that is what makes it fast.", unit="short",
              queries={"{{instance}}": "sum by (instance) (rate(fmq_batch_messages_sum{}[$__rate_interval])) / (sum by (instance) (rate(fmq_batch_messages_count{}[$__rate_interval])) > 0)"}),
        Panel(title="Received and acknowledged", description="Acknowledged after the commit. They differ while commits fail, and for publications at QoS 0.", unit="cps",
              queries={"received": "sum(rate(fmq_received_total{}[$__rate_interval]))", "acknowledged": "sum(rate(fmq_acknowledged_total{}[$__rate_interval]))"}),
        Panel(title="Trouble with the broker", description="Reconnects, and PUBACKs whose connection had ended: such messages come again.", unit="short",
              queries={"reconnects": "sum(increase(fmq_reconnects_total{}[$__rate_interval]))", "stale PUBACKs": "sum(increase(fmq_stale_acknowledgements_total{}[$__rate_interval]))"}),
        Panel(title="Set apart", description="Duplicates, not stored. Messages of no topic filter, and in quarantine: stored. Too large: neither stored nor acknowledged.", unit="short",
              queries={
                  "duplicate": "sum(increase(fmq_duplicate_total{}[$__rate_interval]))",
                  "unroutable": "sum(increase(fmq_unroutable_total{}[$__rate_interval]))",
                  "quarantined": "sum(increase(fmq_quarantined_total{}[$__rate_interval]))",
                  "too large": "sum(increase(fmq_oversized_packets_total{}[$__rate_interval]))",
              }),
    ],
    "Broker (with FMQ_BROKER_STATS)": [
        Panel(title="Dropped by the broker", description="Messages that it has thrown away, of all its clients: lost.", unit="short", width=12,
              queries={"{{instance}}": "increase(fmq_broker_dropped_messages_total{}[$__rate_interval])"}),
        Panel(title="Held by the broker", description="Messages that it keeps: queued ones of all its clients, and retained ones.", unit="short", width=12,
              queries={"{{instance}}": "fmq_broker_stored_messages{}"}),
    ],
    "Store": [
        Panel(title="Size", description="Of the database file and its write-ahead log.", unit="bytes",
              queries={"database": f"sum(max by ({_STORE}) (fmq_database_bytes{{}}))", "write-ahead log": f"sum(max by ({_STORE}) (fmq_wal_bytes{{}}))"}),
        Panel(title="Free disk", description="On the store with the least. Intake stops at 0 and continues automatically.", unit="bytes", queries={"free": "min(fmq_free_disk_bytes{})"}),
        Panel(title="Failures of the store", description="Commits, claims and settlements that failed; and services that can't read it.", unit="short",
              queries={"{{instance}}": "sum by (instance) (increase(fmq_store_failures_total{}[$__rate_interval]))", "can't read": "count(fmq_store_up{}) - sum(fmq_store_up{})"}),
    ],
    "Server (of a store on PostgreSQL)": [
        Panel(title="Synchronous standbys", description="Streaming, and needed by each commit. Fewer than needed: commits wait, and intake stands.", unit="short",
              queries={"streaming": f"max by ({_STORE}) (fmq_store_sync_standbys{{}})", "needed": f"max by ({_STORE}) (fmq_store_sync_standbys_wanted{{}})"}),
        Panel(title="Replication lag", description="Log that the best standby does not have on its disk yet.", unit="bytes", queries={"lag": f"max by ({_STORE}) (fmq_store_replication_lag_bytes{{}})"}),
        Panel(title="Replication delay", description="Time by which the disk of the best standby is behind.", unit="s", queries={"delay": f"max by ({_STORE}) (fmq_store_replication_lag_seconds{{}})"}),
        Panel(title="Oldest transaction", description="In the store's database. One with a snapshot keeps dead rows alive; alerts come at 5 minutes.", unit="s",
              queries={"transaction": f"max by ({_STORE}) (fmq_store_oldest_transaction_seconds{{}})", "with a snapshot": f"max by ({_STORE}) (fmq_store_oldest_snapshot_seconds{{}})"}),
        Panel(title="Dead rows", description="Among the unsettled messages, until autovacuum cleans up. A sawtooth is normal.", unit="short",
              queries={"{{queue}}": f"max by ({_STORE}, queue) (fmq_store_dead_rows{{}})"}),
        Panel(title="Failovers and reconnects", description="The timeline rises with each failover. Connections that replaced one that had ended, and transactions run again after a deadlock.", unit="short",
              queries={
                  "timeline": f"max by ({_STORE}) (fmq_store_timeline{{}})",
                  "reconnects": "sum(increase(fmq_store_reconnects_total{}[$__rate_interval]))",
                  "transactions run again": "sum(increase(fmq_store_transaction_retries_total{}[$__rate_interval]))",
                  "not a primary": f"1 - min by ({_STORE}) (fmq_store_primary{{}})",
              }),
    ],
    "Services": [
        Panel(title="Memory", description="Resident, of each process.", unit="bytes", queries={"{{job}} {{instance}}": "fmq_process_resident_memory_bytes{}"}),
        Panel(title="Processor time", description="Seconds of it in a second, of each process. 1: a whole core.", unit="short",
              queries={"{{job}} {{instance}}": "rate(fmq_process_cpu_seconds_total{}[$__rate_interval])"}),
        Panel(title="Running for", description="Time since the start of each process. A sawtooth means that it restarts repeatedly.", unit="s",
              queries={"{{job}} {{instance}}": "time() - fmq_process_start_time_seconds{}"}),
    ],
}  # fmt: skip

_Q = ',queue="$queue"'
_QIN = f"sum(rate(fmq_stored_total{{{_Q}}}[$__rate_interval]))"
_QSETTLED = f'sum(rate(fmq_processed_total{{{_Q},outcome=~"done|dead"}}[$__rate_interval]))'
_QPENDING = f'sum(max by ({_STORE}) (fmq_messages{{{_Q},state="pending"}}))'

QUEUE: dict[str, list[Panel]] = {
    "Now": [
        Panel(title="Waiting", description="Messages that wait for a processor, retries too.", unit="short", kind="stat", width=4, height=4,
              queries={"": _QPENDING}, limits={100_000.0: "orange"}),
        Panel(title="Oldest waits", description="Nothing is shown if none waits.", unit="s", kind="stat", width=4, height=4,
              queries={"": f"clamp_min(max(time() - fmq_oldest_pending_timestamp_seconds{{{_Q}}}), 0)"}, limits=_AGE_LIMITS),
        Panel(title="Growth", description="Messages a second by which the backlog grows; below 0 it shrinks.", unit="cps", kind="stat", width=4, height=4,
              queries={"": f"{_QIN} - {_QSETTLED}"}),
        Panel(title="Empty in", description="At the present rates. Below 0: never, as more comes than is handled.", unit="s", kind="stat", width=4, height=4,
              queries={"": f"{_QPENDING} / ({_QSETTLED} - {_QIN})"}),
        Panel(title="Attempts that fail", description="Share of the attempts that did not end done.", unit="percentunit", kind="stat", width=4, height=4,
              queries={"": _ratio(_Q, "")}, limits={0.05: "orange", 0.5: "red"}),
        Panel(title="Dead letters", description="`fmq dead list` shows them with their reasons.", unit="short", kind="stat", width=4, height=4,
              queries={"": f'sum(max by ({_STORE}) (fmq_messages{{{_Q},state="dead"}}))'}, limits={1.0: "orange"}),
    ],
    "Backlog": [
        Panel(title="Messages by state", description="Waiting, lent to a processor, and dead. (Done ones are kept for a while and not shown.)", unit="short",
              queries={"{{state}}": f'sum by (state) (max by ({_STORE}, state) (fmq_messages{{{_Q},state!="done"}}))'}),
        Panel(title="Oldest waits", description="Alerts come at 15 minutes. A gap: none waits.", unit="s", queries={"oldest": f"clamp_min(max(time() - fmq_oldest_pending_timestamp_seconds{{{_Q}}}), 0)"}),
        Panel(title="In and out", description="Out: done and dead. Out below in: the backlog grows.", unit="cps", queries={"in": _QIN, "out": _QSETTLED}),
        Panel(title="Time in the system", description="From receipt to the commit that a message is done, retries included.", unit="s", width=12, queries=_quantiles("fmq_time_in_system_seconds", _Q)),
        Panel(title="Since the last message", description="How long ago a message was stored last, and done last.", unit="s", width=12,
              queries={"stored": f"time() - max(fmq_last_stored_timestamp_seconds{{{_Q}}})", "done": f"time() - max(fmq_last_done_timestamp_seconds{{{_Q}}})"}),
    ],
    "Handler": [
        Panel(title="Outcomes", description="Attempts a second by how they ended.", unit="cps", stacked=True,
              queries={"{{outcome}}": f"sum by (outcome) (rate(fmq_processed_total{{{_Q}}}[$__rate_interval]))"}),
        Panel(title="Time of a call", description="One handler call.", unit="s", queries=_quantiles("fmq_handle_seconds", _Q)),
        Panel(title="Calls by their time", description="How many calls took how long.", unit="s", kind="heatmap",
              queries={"{{le}}": f"sum by (le) (increase(fmq_handle_seconds_bucket{{{_Q}}}[$__rate_interval]))"}),
        Panel(title="Calls at once", description="Seconds of handler calls in a second. At the number that a processor may run, more comes through only with more processors or concurrency.", unit="short",
              queries={"{{instance}}": f"sum by (instance) (rate(fmq_handle_seconds_sum{{{_Q}}}[$__rate_interval]))"}),
        Panel(title="Wait before the first attempt", description="From receipt to the start of the first attempt.", unit="s", queries=_quantiles("fmq_wait_seconds", _Q)),
        Panel(title="In progress", description="Messages that a processor holds.", unit="short", stacked=True,
              queries={"{{instance}}": f"sum by (instance) (fmq_in_progress{{{_Q}}})"}),
    ],
    "Trouble": [
        Panel(title="Circuits", description="1: the processor finds its handler's target down, and only tries a message now and then. All queues.", unit="bool_on_off", width=24, height=6,
              queries={"{{instance}} {{route}}": "max by (instance, route) (fmq_circuit_open{})"}),
        Panel(title="Retries and dead letters", description="Attempts that will be repeated, and messages given up, by why they failed.", unit="short",
              queries={"{{reason}}": f"sum by (reason) (increase(fmq_retries_total{{{_Q}}}[$__rate_interval])) > 0", "dead: {{reason}}": f"sum by (reason) (increase(fmq_dead_lettered_total{{{_Q}}}[$__rate_interval])) > 0"}),
        Panel(title="Out of time", description="Calls beyond FMQ_HANDLER_TIMEOUT, and settlements after the lease had passed on: such messages are handled twice.", unit="short",
              queries={"timeouts": f"sum(increase(fmq_timeouts_total{{{_Q}}}[$__rate_interval]))", "lease lost": f"sum(increase(fmq_stale_settlements_total{{{_Q}}}[$__rate_interval]))"}),
        Panel(title="Settlement time", description="Of one commit of outcomes, all queues.", unit="s", queries=_quantiles("fmq_settle_seconds")),
    ],
}  # fmt: skip


def dashboards() -> dict[str, Json]:
    """Every dashboard by its file name."""
    queue = variable("queue", "Queue", 'label_values(fmq_messages{job=~"$job"}, queue)', multi=False)
    return {
        "fmq-overview.json": dashboard("fmq-overview", "fmq: all queues", "Every queue, the listeners and the store.", OVERVIEW, []),
        "fmq-queue.json": dashboard("fmq-queue", "fmq: one queue", "One queue in depth.", QUEUE, [queue]),
    }  # fmt: skip


def text(dashboard: Json) -> str:
    """A dashboard as it is kept."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the files, or with ``--check`` tell which differ."""
    wrong = [name for name, made in dashboards().items() if not _is(FOLDER / name, text(made))]
    if "--check" in sys.argv[1:]:
        for name in wrong:
            sys.stderr.write(f"{name} is not what make_dashboards.py makes\n")
        return 1 if wrong else 0
    FOLDER.mkdir(exist_ok=True)
    for name in wrong:
        (FOLDER / name).write_text(text(dashboards()[name]), encoding="utf-8")
    return 0


def _is(path: Path, content: str) -> bool:
    return path.exists() and path.read_text("utf-8") == content


if __name__ == "__main__":
    sys.exit(main())
