"""From answers to templates: what each page says in its heading, and the links that depend on what was asked."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from fmq_web.answers.activity import Activity, DryRun, Services
from fmq_web.answers.messages import DeadGroups, MessagePage, MessageView, PayloadWindow
from fmq_web.answers.queues import History, Overview, QueueRow, QueueView
from fmq_web.http.route import Shown
from fmq_web.operations.publisher import Publisher
from fmq_web.pages import charts, times
from fmq_web.pages.asked import Asked, Chosen, Listed, group_of
from fmq_web.pages.figures import plural
from fmq_web.pages.links import url
from fmq_web.showing.text import flat
from fmq_web.showing.words import spelled

_LONGEST_TYPED = 80
STATES: Final = (
    ("any", "any"),
    ("pending", "pending"),
    ("delayed", "delayed"),
    ("claimed", "claimed"),
    ("done", "done"),
    ("dead", "dead"),
)
SORTS: Final = (
    "waiting",
    "running",
    "retrying",
    "oldest_seconds",
    "in_per_second",
    "out_per_second",
    "drain_seconds",
    "dead",
)


def overview(answer: Overview, sort: str | None) -> Shown:
    """All queues, in the answer's order or by one of SORTS, greatest first."""
    if sort is not None:
        rows = sorted(answer.queues, key=lambda row: _value(row, sort), reverse=True)
        answer = answer.model_copy(update={"queues": rows})
    return Shown("overview.html", {"overview": answer, "sort": sort})


def queue(view: QueueView, history: History, newest: MessagePage) -> Shown:
    """One queue."""
    values = {
        "view": view,
        "history": history,
        "charts": charts.charts(history),
        "newest": newest,
        "shell": shlex.quote,
    }
    return Shown("queue.html", values)


def messages(page: MessagePage, asked: Asked) -> Shown:
    """One step through a queue's messages."""
    what = {"any": "Messages", "dead": "Dead letters"}.get(asked.state, f"{asked.state.capitalize()} messages")
    fields = asked.fields()
    return Shown(
        "messages.html",
        {
            "page": page,
            "asked": asked,
            "states": STATES,
            "title": f"{what} of {page.queue[:80]}",
            "newest": url("/messages", queue=page.queue, **fields),
            "older": url("/messages", queue=page.queue, **fields, before=page.before),
            "selection": list(asked.chosen().items()),
            "fields": list(fields.items()),
            "can_pick": any(one.state in ("done", "dead") for one in page.messages),
        },
    )


def export(queue: str, asked: Chosen) -> str:
    """Where the API gives what was asked for as JSON lines. Only of what ``Chosen.at`` returned."""
    return url(
        "/api/v1/dead/export",
        queue=queue,
        topic=asked.topic or None,
        reason=asked.reason or None,
        since=times.unix(asked.since),
        until=times.unix(asked.until),
        fingerprint=asked.fingerprint,
    )


def message(view: MessageView, window: PayloadWindow | None, publisher: Publisher | None = None) -> Shown:
    """One message. ``window`` is None if contents are hidden, ``publisher`` without a broker."""
    values = {
        "view": view,
        "window": window,
        "sentence": _sentence(view),
        "broker": publisher and str(publisher.broker),
        "form": publisher and publisher.new_form(),
    }
    return Shown("message.html", values)


def dead(answer: DeadGroups, names: Sequence[str]) -> Shown:
    """Groups of dead letters, of one queue or all."""
    title = (
        f"{plural(answer.total, 'dead letter')}, in {spelled(len(answer.groups), 'group')}"
        if answer.groups
        else "No dead letters"
    )
    if answer.before is not None:
        title += " so far"
    return Shown("dead.html", {"groups": answer, "names": names, "title": title, "group_of": group_of})


def workers(answer: Services) -> Shown:
    """Who is at work: those that are away first."""
    ranked = sorted(answer.services, key=lambda one: (not one.away, one.connected is not False, one.kind, one.name))
    away = sum(one.away for one in ranked)
    here = [
        spelled(sum(one.kind == kind and not one.away for one in ranked), kind) for kind in ("listener", "processor")
    ]
    title = f"{here[0]} and {here[1]} are at work".capitalize()
    if away:
        title += f"; {plural(away, 'worker is', 'workers are')} away"
    return Shown("workers.html", {"services": ranked, "title": f"{title}."})


def activity(answer: Activity) -> Shown:
    """What goes on and what was done."""
    running = sum(one.state == "running" for one in answer.operations)
    title = f"{plural(running, 'operation is', 'operations are')} running." if running else "Nothing is running."
    return Shown("activity.html", {"activity": answer, "title": title})


def preview(run: DryRun, *, back: str, download: str | None) -> Shown:
    """Asks before an operation starts."""
    number = plural(run.count, "message")
    number = number.replace(" ", "+ ", 1) if run.more else number
    verb, question = _QUESTIONS[run.kind]
    values = {
        "run": run,
        "back": back,
        "download": download,
        "verb": verb.format(number=number.split(" ")[0], queue=run.queue[:80]),
        "question": question.format(number=number, queue=run.queue[:80]),
        "typed": typed(run.queue) if run.kind in CONFIRMED_BY_NAME else None,
    }
    return Shown("preview.html", values)


def picked(queue: str, ids: Sequence[str], asked: Listed, *, back: str) -> Shown:
    """Asks before ticked messages are deleted."""
    fields = [*asked.fields().items(), ("kind", "purge"), ("sure", "true"), *(("ids", one) for one in ids)]
    return Shown("picked.html", {"queue": queue, "count": len(ids), "fields": fields, "back": back})


CONFIRMED_BY_NAME: Final = ("purge-queue",)


def typed(queue: str) -> str:
    """What to type for the name of a queue: it may be long, and have characters that nobody sees."""
    return flat(queue)[:_LONGEST_TYPED].strip()


_QUESTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "requeue": ("Requeue {number}", "Requeue {number}?"),
    "handle-again": ("Handle {number} again", "Handle {number} again?"),
    "purge": ("Delete {number} for good", "Delete {number} for good?"),
    "purge-queue": ("Delete {number} for good", "Delete {number} for good?"),
    "delete-queue": ("Delete the queue", "Delete the queue {queue}?"),
}


def _value(row: QueueRow, sort: str) -> float:
    value: float | None = getattr(row, sort)
    return -1.0 if value is None else value


def _sentence(view: MessageView) -> str:
    """What follows "Message 42"."""
    head = view.head
    tried = len(view.attempts)
    match head.state:
        case "dead":
            return f"is a dead letter after {plural(tried, 'failed attempt')}" if tried else "is a dead letter"
        case "done":
            return "was handled"
        case "claimed":
            return "is being handled"
        case "delayed":
            return "waits for a retry" if head.retries else "waits for the end of its delay"
        case _:
            return "waits to be handled" if not head.retries else "waits to be handled again"
