"""The pages that show something: each asks the views and hands their answers to a template."""

from typing import Literal

from pydantic import Field

from fmq.store.roles import Store
from fmq.store.selection import State
from fmq_web.http.route import Call, Parameters, Shown
from fmq_web.http.taking import taken
from fmq_web.pages import runbooks, shown
from fmq_web.pages.asked import LONGEST, Asked
from fmq_web.views import activity, dead, history, message, messages, overview, payload, queue, services

_NEWEST = 10


class OverviewQuery(Parameters):
    """How to sort."""

    sort: (
        Literal[
            "waiting",
            "running",
            "retrying",
            "oldest_seconds",
            "in_per_second",
            "out_per_second",
            "drain_seconds",
            "dead",
        ]
        | None
    ) = None


class QueueQuery(Parameters):
    """Which queue, and how far back its charts go."""

    name: str = Field(min_length=1, max_length=LONGEST)
    hours: Literal["1", "6", "24"] = "1"


class MessageQuery(Parameters):
    """Which message, and which part of its payload."""

    queue: str = Field(min_length=1, max_length=LONGEST)
    id: str = Field(max_length=20)
    offset: int = Field(0, ge=0, lt=2**63)


class DeadQuery(Parameters):
    """Which queue: all without one."""

    queue: str | None = Field(None, max_length=LONGEST)
    before: str | None = Field(None, max_length=2 * LONGEST)


class ActivityQuery(Parameters):
    """Where to go on."""

    before: str | None = Field(None, max_length=100)


class RunbookQuery(Parameters):
    """Which runbook."""

    name: str = Field(max_length=100)


def show_overview(call: Call, store: Store) -> Shown:
    sort = taken(call.query, OverviewQuery).sort
    return shown.overview(overview.overview(store, call.site.clock, call.site.sampler.rates), sort)


def show_queue(call: Call, store: Store) -> Shown:
    asked = taken(call.query, QueueQuery)
    view = queue.queue_view(store, call.site.clock, asked.name, call.site.sampler.rates)
    past = history.history(store, call.site.clock, asked.name, int(asked.hours))
    which = Asked(queue=asked.name).which(State.ANY)
    newest = messages.message_page(
        store, asked.name, which, limit=_NEWEST, contents=call.site.settings.web_show_payloads
    )
    return shown.queue(view, past, newest)


def show_messages(call: Call, store: Store) -> Shown:
    asked = taken(call.query, Asked).at(call.site.clock.wall())
    page = messages.message_page(
        store,
        asked.queue,
        asked.which(State(asked.state)),
        text=asked.text or None,
        before=asked.before,
        contents=call.site.settings.web_show_payloads,
    )
    return shown.messages(page, asked)


def show_message(call: Call, store: Store) -> Shown:
    asked = taken(call.query, MessageQuery)
    contents = call.site.settings.web_show_payloads
    view = message.message_view(store, call.site.clock, asked.queue, asked.id, contents=contents)
    window = payload.window(store, asked.queue, asked.id, asked.offset) if contents else None
    return shown.message(view, window, call.site.publisher)


def show_dead(call: Call, store: Store) -> Shown:
    asked = taken(call.query, DeadQuery)
    return shown.dead(dead.groups(store, call.site.clock, asked.queue, asked.before), store.names())


def show_workers(_call: Call, store: Store) -> Shown:
    return shown.workers(services.services(store))


def show_activity(call: Call, store: Store) -> Shown:
    before = taken(call.query, ActivityQuery).before
    return shown.activity(activity.activity(store, call.site.operations.all(), before))


def show_runbook(call: Call) -> Shown:
    name = taken(call.query, RunbookQuery).name
    return Shown("runbook.html", {"name": name, "blocks": runbooks.runbook(name)})
