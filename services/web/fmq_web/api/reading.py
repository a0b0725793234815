"""The endpoints that read: each asks one view."""

from http import HTTPStatus

from starlette.responses import Response, StreamingResponse

from fmq.store.roles import Store
from fmq.store.selection import State
from fmq_web.answers.activity import Activity, Operations, OperationView, Services
from fmq_web.answers.messages import DeadGroups, MessagePage, MessageView, PayloadWindow
from fmq_web.answers.queues import History, Overview, QueueView
from fmq_web.api import parameters as given
from fmq_web.http.route import Call
from fmq_web.http.taking import taken
from fmq_web.views import activity, dead, history, message, messages, overview, payload, queue, services


def get_overview(call: Call, store: Store) -> Overview:
    return overview.overview(store, call.site.clock, call.site.sampler.rates)


def get_queue(call: Call, store: Store) -> QueueView:
    name = taken(call.query, given.NamedQueue).name
    return queue.queue_view(store, call.site.clock, name, call.site.sampler.rates)


def get_history(call: Call, store: Store) -> History:
    asked = taken(call.query, given.HistoryQuery)
    return history.history(store, call.site.clock, asked.queue, int(asked.hours))


def get_messages(call: Call, store: Store) -> MessagePage:
    asked = taken(call.query, given.MessagesQuery)
    return messages.message_page(
        store,
        asked.queue,
        asked.which(State(asked.state)),
        text=asked.text,
        before=asked.before,
        limit=asked.limit,
        contents=call.site.settings.web_show_payloads,
    )


def get_message(call: Call, store: Store) -> MessageView:
    name = taken(call.query, given.OneQueue).queue
    contents = call.site.settings.web_show_payloads
    return message.message_view(store, call.site.clock, name, call.path["id"], contents=contents)


def get_payload(call: Call, store: Store) -> PayloadWindow:
    asked = taken(call.query, given.WindowQuery)
    contents = call.site.settings.web_show_payloads
    return payload.window(store, asked.queue, call.path["id"], asked.offset, asked.length, contents=contents)


def get_groups(call: Call, store: Store) -> DeadGroups:
    asked = taken(call.query, given.GroupsQuery)
    return dead.groups(store, call.site.clock, asked.queue, asked.before)


def get_workers(_call: Call, store: Store) -> Services:
    return services.services(store)


def get_activity(call: Call, store: Store) -> Activity:
    asked = taken(call.query, given.ActivityQuery)
    return activity.activity(store, call.site.operations.all(), asked.before, asked.limit)


def get_operations(call: Call, _store: Store) -> Operations:
    return Operations(operations=call.site.operations.all())


def get_operation(call: Call, _store: Store) -> OperationView:
    return call.site.operations.get(call.path["id"])


def get_stream(call: Call, _store: Store) -> Response:
    feed = call.site.sampler.subscribe(call.caller.session)
    return StreamingResponse(feed, HTTPStatus.OK, {"Cache-Control": "no-store"}, "text/event-stream")
