"""The dashboard of all queues, listeners, stores and processes. What may have hundreds of lines shows the highest ones."""

from fmq_monitoring.panels import Dashboard, Json, Panel, numbers, thresholds, variable
from fmq_monitoring.parameters import Parameters
from fmq_monitoring.queries import FIXED, LINE, Queries


def dashboard_of(parameters: Parameters) -> Dashboard:
    """The dashboard with the labels and thresholds of ``parameters``."""
    q = Queries.of(parameters)
    scope = q.scope('queue=~"$queue"')
    rows = {
        "Now": [*_now(q), _table(q)],
        "Flow": _flow(q),
        "Routes": _routes(q),
        "Listeners": _listeners(q),
        "Broker (with FMQ_BROKER_STATS)": _broker(q),
        "Store": _store(q),
        "Server (of a store on PostgreSQL)": _server(q),
        "Services": _services(q),
    }
    queue = variable("queue", "Queue", f"label_values(fmq_messages{{{scope.services}}}, queue)", all_value=".*")
    return Dashboard(
        uid="fmq-overview",
        title="fmq: all queues",
        description="Every queue, the listeners and the stores.",
        rows=rows,
        variables=[*q.variables(), queue, numbers("top", "Lines at most", (5, 10, 20, 50), 10)],
        scope=scope,
    )


def _table(q: Queries) -> Panel:
    columns = {
        "Due for": (q.due_age, "s"),
        "Waiting": (q.messages("pending"), "short"),
        "In": (q.stored(FIXED), "cps"),
        "Out": (q.left(FIXED), "cps"),
        "Dead": (q.messages("dead"), "short"),
    }
    names = {f"Value #{chr(ord('A') + number)}": column for number, column in enumerate(columns)}
    overrides: list[Json] = [
        {"matcher": {"id": "byName", "options": column}, "properties": [{"id": "unit", "value": unit}]}
        for column, (_, unit) in columns.items()
    ]
    chosen = "&".join(f"${{{label}:queryparam}}" for label in q.installation.split(", "))
    link = {
        "title": "This queue in depth",
        "url": f"/d/fmq-queue?var-queue=${{__value.raw:percentencode}}&{chosen}&${{__url_time_range}}",
    }
    overrides.append(
        {"matcher": {"id": "byName", "options": "Queue"}, "properties": [{"id": "links", "value": [link]}]}
    )
    base = Panel(title="", description="", unit="short", queries={})
    return Panel(
        title="Queues",
        description="Each queue now, the one with the oldest due message first. Its name leads to its own dashboard.",
        unit="short",
        kind="table",
        width=24,
        height=9,
        queries={column: expression for column, (expression, _) in columns.items()},
        custom={
            "fieldConfig": {
                "defaults": {"unit": "short", "thresholds": thresholds(base), "custom": {"filterable": True}},
                "overrides": overrides,
            },
            "options": {"sortBy": [{"displayName": "Due for", "desc": True}]},
            "transformations": [
                {"id": "merge", "options": {}},
                {
                    "id": "organize",
                    "options": {"excludeByName": {"Time": True}, "renameByName": {"queue": "Queue", **names}},
                },
            ],
        },
    )


def _now(q: Queries) -> list[Panel]:
    def stat(title: str, description: str, unit: str, expression: str, limits: dict[float, str] | None = None) -> Panel:
        return Panel(title=title, description=description, unit=unit, kind="stat", width=3, height=4, queries={"": expression}, limits=limits or {})  # fmt: skip

    return [
        stat("Waiting", "Messages that wait for a processor, all queues.", "short", f"sum({q.messages('pending')})", {float(q.depth): "orange"}),
        stat("Due for", "How long the oldest due message of any queue has waited. Nothing is shown if none is due.", "s", f"max({q.due_age})", {q.age / 3: "orange", q.age: "red"}),
        stat("Stored", "Messages per second committed to the store, over 5 minutes.", "cps", f"sum({q.stored(FIXED)})"),
        stat("Out", "Messages per second that no longer wait: done, skipped, expired or dead. Over 5 minutes.", "cps", f"sum({q.left(FIXED)})"),
        stat("Attempts that fail", "Share of all attempts, over 5 minutes.", "percentunit", q.failing(FIXED), {0.05: "orange", 0.5: "red"}),
        stat("Dead letters", "Messages given up and kept, until someone requeues or purges them.", "short", f"sum({q.messages('dead')})", {1.0: "orange"}),
        stat("Services down", "Services that do not answer, and listeners that are not connected and subscribed.", "short",
             f'(count(up{{,job=~"{q.jobs}"}} == 0) or vector(0)) + (count(fmq_connected{{}} == 0) or vector(0))', {1.0: "red"}),
        stat("Free disk", "On the store with the least.", "bytes", "min(fmq_free_disk_bytes{})"),
    ]  # fmt: skip


def _flow(q: Queries) -> list[Panel]:
    legend = q.legend(q.queue)

    def top(expression: str) -> dict[str, str]:
        return {legend: q.top(expression, q.queue)}

    silent = f"time() - max by ({q.queue}) (fmq_last_done_timestamp_seconds{{Q}}) and {q.messages('pending')} > 0"
    return [
        Panel(title="Waiting", description="Messages that wait for a processor: the deepest queues.", unit="short", queries=top(q.messages("pending"))),
        Panel(title="Due for", description="Age of the oldest due message: the oldest. A gap: none is due.", unit="s", queries=top(q.due_age)),
        Panel(title="Dead letters", description="Messages given up and kept: the queues with the most.", unit="short", is_state=True, queries=top(q.messages("dead"))),
        Panel(title="In and out", description="All queues. Out below in: the backlog grows.", unit="cps", queries={"in": f"sum({q.stored(LINE)})", "out": f"sum({q.left(LINE)})"}),
        Panel(title="In", description="The queues that get the most.", unit="cps", queries=top(q.stored(LINE))),
        Panel(title="Out", description="Messages that no longer wait: the queues with the most.", unit="cps", queries=top(q.left(LINE))),
        Panel(title="Attempts that fail", description="Share of the attempts: the queues with the highest.", unit="percentunit", width=12, queries=top(q.failing(LINE, f" by ({q.queue})"))),
        Panel(title="Not done for", description="Queues where messages wait, by the time since the last one was done.", unit="s", width=12, queries=top(silent)),
    ]  # fmt: skip


def _routes(q: Queries) -> list[Panel]:
    labels = f"{q.installation}, route"
    legend = q.legend(labels)
    time = f"histogram_quantile(0.95, sum by ({labels}, le) (rate(fmq_time_in_system_seconds_bucket{{}}[{LINE}])))"
    busy = f"sum by ({labels}) (rate(fmq_handle_seconds_sum{{}}[{LINE}]))"
    lost = (
        f"60 * sum by ({labels}) (rate(fmq_stale_settlements_total{{}}[{LINE}]) + rate(fmq_timeouts_total{{}}[{LINE}]))"
    )
    return [
        Panel(title="Time in the system", description="From receipt to the commit that a message is done, retries included: 95 of 100 are faster. The slowest routes.", unit="s", queries={legend: q.top(time, labels)}),
        Panel(title="Calls at once", description="Seconds of handler calls per second: the busiest routes.", unit="short", queries={legend: q.top(busy, labels)}),
        Panel(title="Out of time", description="Calls beyond FMQ_HANDLER_TIMEOUT and lost leases per minute: the routes with the most.", unit="cpm", queries={legend: q.top(lost, labels)}),
    ]  # fmt: skip


def _listeners(q: Queries) -> list[Panel]:
    legend = q.legend(q.service)
    by = f" by ({q.service})"
    mean = f"sum{by} (rate(fmq_batch_messages_sum{{}}[{LINE}])) / (sum{by} (rate(fmq_batch_messages_count{{}}[{LINE}])) > 0)"
    return [
        Panel(title="Away", description="Yes: not connected, or not subscribed to every filter.", unit="bool_yes_no", is_state=True, queries={legend: q.top(f"1 - min{by} (fmq_connected{{}})", q.service)}),
        Panel(title="Commit time", description="Of one commit of received messages. PUBACKs go out after it.", unit="s", queries=q.quantiles("fmq_commit_seconds")),
        Panel(title="Messages per commit", description="Mean: the highest. Rises with the load: that is what makes it fast.", unit="short", queries={legend: q.top(mean, q.service)}),
        Panel(title="Received and acknowledged", description="Acknowledged after the commit. They differ while commits fail, and for publications at QoS 0.", unit="cps",
              queries={"received": f"sum(rate(fmq_received_total{{}}[{LINE}]))", "acknowledged": f"sum(rate(fmq_acknowledged_total{{}}[{LINE}]))"}),
        Panel(title="Trouble with the broker", description="Per minute: reconnects, and PUBACKs whose connection had ended; such messages come again.", unit="cpm",
              queries={"reconnects": q.per_minute("fmq_reconnects_total"), "stale PUBACKs": q.per_minute("fmq_stale_acknowledgements_total")}),
        Panel(title="Set apart", description="Per minute. Duplicates, not stored. Messages of no topic filter, and in quarantine: stored. Too large: neither stored nor acknowledged.", unit="cpm",
              queries={
                  "duplicate": q.per_minute("fmq_duplicate_total"),
                  "unroutable": q.per_minute("fmq_unroutable_total"),
                  "quarantined": q.per_minute("fmq_quarantined_total"),
                  "too large": q.per_minute("fmq_oversized_packets_total"),
              }),
    ]  # fmt: skip


def _broker(q: Queries) -> list[Panel]:
    legend = q.legend(q.service)
    return [
        Panel(title="Dropped by the broker", description="Messages per minute that it has thrown away, of all its clients: lost.", unit="cpm", width=12,
              queries={legend: q.top(f"60 * rate(fmq_broker_dropped_messages_total{{}}[{LINE}])", q.service)}),
        Panel(title="Held by the broker", description="Messages that it keeps: queued ones of all its clients, and retained ones.", unit="short", width=12,
              queries={legend: q.top("fmq_broker_stored_messages{}", q.service)}),
    ]  # fmt: skip


def _store(q: Queries) -> list[Panel]:
    legend = q.legend(q.store)

    def top(metric: str, how: str = "max") -> str:
        return q.top(f"{how} by ({q.store}) ({metric}{{}})", q.store)

    failures = f"60 * sum by ({q.service}) (rate(fmq_store_failures_total{{}}[{LINE}]))"
    free = f"min by ({q.store}) (fmq_free_disk_bytes{{}})"
    least = f"{free} and on ({q.store}) bottomk($top, min_over_time(({free})[$__range:$__interval] @ end()))"
    return [
        Panel(title="Database", description="Size of the database: the largest.", unit="bytes", queries={legend: top("fmq_database_bytes")}),
        Panel(title="Write-ahead log", description="Size: the largest. SQLite only.", unit="bytes", queries={legend: top("fmq_wal_bytes")}),
        Panel(title="Free disk", description="Of the stores with the least. Intake stops at 0 and continues automatically.", unit="bytes", queries={legend: least}),
        Panel(title="Failures of the store", description="Commits, claims and settlements that failed, per minute.", unit="cpm", width=12, queries={q.legend(q.service): q.top(failures, q.service)}),
        Panel(title="Stores that can't be used", description="Services that can't read or write their store.", unit="short", width=12, is_state=True,
              queries={"can't read": "count(fmq_store_up{}) - sum(fmq_store_up{})", "can't write": "count(fmq_store_writable{}) - sum(fmq_store_writable{})"}),
    ]  # fmt: skip


def _server(q: Queries) -> list[Panel]:
    legend = q.legend(q.store)

    def top(metric: str) -> str:
        return q.top(f"max by ({q.store}) ({metric}{{}})", q.store)

    primary = f"1 - min by ({q.store}) (fmq_store_primary{{}})"
    return [
        Panel(title="Synchronous standbys", description="Streaming, and needed by each commit. Fewer than needed: commits wait, and intake stands.", unit="short", is_state=True,
              queries={f"{legend} streaming": top("fmq_store_sync_standbys"), f"{legend} needed": top("fmq_store_sync_standbys_wanted")}),
        Panel(title="Replication lag", description="Log that the best standby does not have on its disk yet.", unit="bytes", queries={legend: top("fmq_store_replication_lag_bytes")}),
        Panel(title="Replication delay", description="Time by which the disk of the best standby is behind.", unit="s", queries={legend: top("fmq_store_replication_lag_seconds")}),
        Panel(title="Oldest transaction", description="In the store's database. One with a snapshot keeps dead rows alive; alerts come at 5 minutes.", unit="s",
              queries={f"{legend} transaction": top("fmq_store_oldest_transaction_seconds"), f"{legend} with a snapshot": top("fmq_store_oldest_snapshot_seconds")}),
        Panel(title="Dead rows", description="Among the unsettled messages, until autovacuum cleans up: the queues with the most. A sawtooth is normal.", unit="short",
              queries={q.legend(q.queue): q.top(f"max by ({q.queue}) (fmq_store_dead_rows{{Q}})", q.queue)}),
        Panel(title="Failovers", description="The timeline rises with each failover. Not a primary: the connection is to a standby.", unit="short", is_state=True,
              queries={f"{legend} timeline": top("fmq_store_timeline"), f"{legend} not a primary": q.top(primary, q.store)}),
        Panel(title="Reconnects", description="Per minute: connections that replaced one that had ended, and transactions run again after a deadlock.", unit="cpm", width=24, height=6,
              queries={"reconnects": q.per_minute("fmq_store_reconnects_total"), "transactions run again": q.per_minute("fmq_store_transaction_retries_total")}),
    ]  # fmt: skip


def _services(q: Queries) -> list[Panel]:
    legend = q.legend(q.service)
    # process_… are names that other programs have, too.
    ours = f'{{,job=~"{q.jobs}"}}'

    def top(expression: str) -> dict[str, str]:
        return {legend: q.top(f"max by ({q.service}) ({expression})", q.service)}

    left = f"min by ({q.service}, certificate) (fmq_certificate_expiry_timestamp_seconds{{}} - time())"
    soonest = f"{left} and on ({q.service}, certificate) bottomk($top, {left})"
    return [
        Panel(title="Memory", description="Resident: the largest processes.", unit="bytes", queries=top(f"process_resident_memory_bytes{ours}")),
        Panel(title="Processor time", description="Seconds per second: the busiest processes. 1: a whole core.", unit="short", queries=top(f"rate(process_cpu_seconds_total{ours}[{LINE}])")),
        Panel(title="Running for", description="Time since the start: the youngest processes. A sawtooth means that it restarts repeatedly.", unit="s",
              queries={legend: f"bottomk($top, min by ({q.service}) (time() - process_start_time_seconds{ours}))"}),
        Panel(title="Open files", description="Share of the files and connections that a process may open: the highest.", unit="percentunit", queries=top(f"process_open_fds{ours} / process_max_fds{ours}")),
        Panel(title="Versions", description="Services by version. More than one for long: an upgrade is incomplete.", unit="short", is_state=True,
              queries={f"{q.legend(q.installation)} {{{{version}}}}": f"count by ({q.installation}, version) (fmq_build_info{{}})"}),
        Panel(title="Certificates", description="Time until they expire: the first ones.", unit="s", queries={f"{legend} {{{{certificate}}}}": soonest}),
    ]  # fmt: skip
