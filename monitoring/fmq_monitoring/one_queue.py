"""The dashboard of one queue."""

from fmq_monitoring.panels import Dashboard, Panel, variable
from fmq_monitoring.parameters import Parameters
from fmq_monitoring.queries import FIXED, LINE, Queries

_ROUTE = '{,route=~"$route"}'
_TIMED = '{,route=~"$route",queue=~"${queue:regex}|"}'
"""Of a histogram that has the label queue only with FMQ_METRICS_QUEUE_HISTOGRAMS."""
_OF_ROUTES = "Of the chosen routes; with FMQ_METRICS_QUEUE_HISTOGRAMS, of this queue alone."


def dashboard_of(parameters: Parameters) -> Dashboard:
    """The dashboard with the labels and thresholds of ``parameters``."""
    q = Queries.of(parameters)
    scope = q.scope('queue="$queue"')
    queue = variable("queue", "Queue", f"label_values(fmq_messages{{{scope.services}}}, queue)", multi=False)
    route = variable("route", "Route", f"label_values(fmq_in_progress{{{scope.services}}}, route)")
    return Dashboard(
        uid="fmq-queue",
        title="fmq: one queue",
        description="One queue in depth.",
        rows={"Now": _now(q), "Backlog": _backlog(q), "Routes": _handler(q), "Trouble": _trouble(q)},
        variables=[*q.variables(), queue, route],
        scope=scope,
    )


def _now(q: Queries) -> list[Panel]:
    def stat(title: str, description: str, unit: str, expression: str, limits: dict[float, str] | None = None) -> Panel:
        return Panel(title=title, description=description, unit=unit, kind="stat", width=4, height=4, queries={"": expression}, limits=limits or {})  # fmt: skip

    waiting = f"sum({q.messages('pending')})"
    return [
        stat("Waiting", "Messages that wait for a processor, retries too.", "short", waiting, {float(q.depth): "orange"}),
        stat("Due for", "How long the oldest due message has waited. Nothing is shown if none is due.", "s", f"max({q.due_age})", {q.age / 3: "orange", q.age: "red"}),
        stat("Growth", "Messages per second by which the backlog grows, over 10 minutes; below 0 it shrinks.", "cps", q.growth),
        stat("Empty in", "At the growth of the last 10 minutes. Nothing is shown while the backlog does not shrink.", "s", f"{waiting} / (-({q.growth}) > 0)"),
        stat("Attempts that fail", "Share of all attempts, over 5 minutes.", "percentunit", q.failing(FIXED), {0.05: "orange", 0.5: "red"}),
        stat("Dead letters", "`fmq dead list` shows them with their reasons.", "short", f"sum({q.messages('dead')})", {1.0: "orange"}),
    ]  # fmt: skip


def _backlog(q: Queries) -> list[Panel]:
    return [
        Panel(title="Messages by state", description="Waiting, lent to a processor, and dead. (Done ones are kept for a while and not shown.)", unit="short",
              queries={"{{state}}": f'sum by (state) (max by ({q.store}, state) (fmq_messages{{Q,state!="done"}}))'}),
        Panel(title="Oldest message", description="Due for: of those that a processor may have now; alerts look at this. Received: of all that wait, delayed ones and retries too. A gap: there is none.", unit="s",
              queries={"due for": f"max({q.due_age})", "received": "clamp_min(max(time() - fmq_oldest_pending_timestamp_seconds{Q}), 0)"}),
        Panel(title="In and out", description="Out: done, skipped, expired and dead. Out below in: the backlog grows.", unit="cps",
              queries={"in": f"sum({q.stored(LINE)})", "out": f"sum({q.left(LINE)})"}),
        Panel(title="Paused", description="Yes: nothing of this queue is handed out.", unit="bool_yes_no", width=12, is_state=True, queries={"paused": "max(fmq_queue_paused{Q})"}),
        Panel(title="Since the last message", description="How long ago a message was stored last, and done last.", unit="s", width=12,
              queries={"stored": "time() - max(fmq_last_stored_timestamp_seconds{Q})", "done": "time() - max(fmq_last_done_timestamp_seconds{Q})"}),
    ]  # fmt: skip


def _handler(q: Queries) -> list[Panel]:
    calls = f"sum by ({q.service}) (rate(fmq_handle_seconds_sum{_TIMED}[{LINE}]))"
    return [
        Panel(title="Outcomes", description="Attempts per second by how they ended, of this queue.", unit="cps", stacked=True,
              queries={"{{outcome}}": f"sum by (outcome) (rate(fmq_processed_total{{Q}}[{LINE}]))"}),
        Panel(title="Time of a call", description=f"One handler call. {_OF_ROUTES}", unit="s", queries=q.quantiles("fmq_handle_seconds", _TIMED)),
        Panel(title="Calls by their time", description=f"How many calls per second took how long. {_OF_ROUTES}", unit="s", kind="heatmap",
              queries={"{{le}}": f"sum by (le) (rate(fmq_handle_seconds_bucket{_TIMED}[{LINE}]))"}),
        Panel(title="Calls at once", description=f"Seconds of handler calls per second, by processor: the ten busiest. At the number that a processor may run, more comes through only with more processors or concurrency. {_OF_ROUTES}", unit="short",
              queries={"{{instance}}": f"topk(10, {calls})"}),
        Panel(title="Wait before the first attempt", description=f"From receipt to the start of the first attempt. {_OF_ROUTES}", unit="s", queries=q.quantiles("fmq_wait_seconds", _TIMED)),
        Panel(title="Time in the system", description=f"From receipt to the commit that a message is done, retries included. {_OF_ROUTES}", unit="s", queries=q.quantiles("fmq_time_in_system_seconds", _TIMED)),
        Panel(title="In progress", description="Messages that the chosen routes hold.", unit="short", width=24, height=6, stacked=True,
              queries={"{{route}}": f"sum by (route) (fmq_in_progress{_ROUTE})"}),
    ]  # fmt: skip


def _trouble(q: Queries) -> list[Panel]:
    def reasons(metric: str) -> str:
        return f"{q.per_minute(metric, ' by (reason)', _ROUTE)} > 0"

    return [
        Panel(title="Circuits", description="Yes: some processor finds the target of this route's handler down, and only tries a message now and then.", unit="bool_yes_no", is_state=True,
              queries={"{{route}}": f"max by (route) (fmq_circuit_open{_ROUTE})"}),
        Panel(title="Retries and dead letters", description="Per minute, of the chosen routes: attempts that will be repeated, and messages given up, by why they failed.", unit="cpm",
              queries={"{{reason}}": reasons("fmq_retries_total"), "dead: {{reason}}": reasons("fmq_dead_lettered_total")}),
        Panel(title="Out of time", description="Per minute, of the chosen routes: calls beyond FMQ_HANDLER_TIMEOUT, and settlements after the lease had passed on; such messages are handled twice.", unit="cpm",
              queries={"timeouts": q.per_minute("fmq_timeouts_total", more=_ROUTE), "lease lost": q.per_minute("fmq_stale_settlements_total", more=_ROUTE)}),
        Panel(title="Settlement time", description="Of one commit of outcomes, all queues.", unit="s", width=24, height=6, queries=q.quantiles("fmq_settle_seconds")),
    ]  # fmt: skip
