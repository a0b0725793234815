"""The table of the API: from it come the dispatch, the check of roles, OpenAPI and docs/web-api.md."""

from collections.abc import Sequence

from starlette.responses import JSONResponse, Response

from fmq.store.roles import Store
from fmq_web.answers import activity, messages, queues
from fmq_web.api import acting, files, openapi, reading
from fmq_web.api import parameters as given
from fmq_web.http.peer.caller import Role
from fmq_web.http.route import Call, Endpoint

_BASE = "/api/v1"
_R, _O = Role.READ, Role.OPERATE


def _document(_call: Call, _store: Store) -> Response:
    return JSONResponse(openapi.document(ENDPOINTS))


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "GET", f"{_BASE}/overview", _R, "All queues, with what needs a person.", queues.Overview, reading.get_overview
    ),
    Endpoint("GET", f"{_BASE}/queue", _R, "One queue.", queues.QueueView, reading.get_queue, given.NamedQueue),
    Endpoint(
        "GET", f"{_BASE}/history", _R, "A queue's last hours.", queues.History, reading.get_history, given.HistoryQuery
    ),
    Endpoint(
        "GET",
        f"{_BASE}/messages",
        _R,
        "Messages of a queue, newest first, in bounded steps.",
        messages.MessagePage,
        reading.get_messages,
        given.MessagesQuery,
    ),
    Endpoint(
        "POST",
        f"{_BASE}/messages/requeue",
        _O,
        "Handle several handled messages or dead letters again, in one commit.",
        messages.Receipt,
        acting.requeue_picked,
        body=given.PickedBody,
    ),
    Endpoint(
        "POST",
        f"{_BASE}/messages/purge",
        _O,
        "Delete several handled messages or dead letters, in one commit.",
        messages.Receipt,
        acting.purge_picked,
        body=given.PickedBody,
    ),
    Endpoint(
        "GET",
        f"{_BASE}/messages/{{id}}",
        _R,
        "One message with its properties and its attempts.",
        messages.MessageView,
        reading.get_message,
        given.OneQueue,
    ),
    Endpoint(
        "GET",
        f"{_BASE}/messages/{{id}}/payload",
        _R,
        "A part of a payload, as JSON, text or hexadecimal numbers.",
        messages.PayloadWindow,
        reading.get_payload,
        given.WindowQuery,
    ),
    Endpoint(
        "GET",
        f"{_BASE}/messages/{{id}}/payload/download",
        _R,
        "A whole payload as it is.",
        None,
        files.download,
        given.OneQueue,
        media="application/octet-stream",
    ),
    Endpoint(
        "POST",
        f"{_BASE}/messages/{{id}}/requeue",
        _O,
        "Handle a handled message or a dead letter again.",
        messages.Receipt,
        acting.handle_again,
        body=given.OneQueue,
    ),
    Endpoint(
        "POST",
        f"{_BASE}/messages/{{id}}/publish",
        _O,
        "Publish a message to the broker again, as it came. It stays as it is here.",
        messages.Publication,
        acting.publish,
        body=given.PublishBody,
    ),
    Endpoint(
        "GET",
        f"{_BASE}/dead/groups",
        _R,
        "Dead letters in groups by what their reasons have in common.",
        messages.DeadGroups,
        reading.get_groups,
        given.GroupsQuery,
    ),
    Endpoint(
        "GET",
        f"{_BASE}/dead/export",
        _R,
        "Dead letters with their payloads, a JSON object per line.",
        None,
        files.export,
        given.ExportQuery,
        media="application/jsonl",
    ),
    Endpoint("GET", f"{_BASE}/workers", _R, "Listeners and processors.", activity.Services, reading.get_workers),
    Endpoint(
        "GET",
        f"{_BASE}/activity",
        _R,
        "What was done, newest first, and the operations of this server.",
        activity.Activity,
        reading.get_activity,
        given.ActivityQuery,
    ),
    Endpoint(
        "GET",
        f"{_BASE}/stream",
        _R,
        "Figures as they change, as server-sent events.",
        None,
        reading.get_stream,
        media="text/event-stream",
    ),
    Endpoint(
        "POST",
        f"{_BASE}/queue/pause",
        _O,
        "Stop delivering from a queue. Survives restarts.",
        messages.Receipt,
        acting.pause,
        body=given.PauseBody,
    ),
    Endpoint(
        "POST",
        f"{_BASE}/queue/resume",
        _O,
        "Deliver from a queue again.",
        messages.Receipt,
        acting.resume,
        body=given.OneQueue,
    ),
    Endpoint(
        "GET", f"{_BASE}/operations", _R, "The operations of this server.", activity.Operations, reading.get_operations
    ),
    Endpoint(
        "POST",
        f"{_BASE}/operations/dry-run",
        _O,
        "Count what an operation would change. Changes nothing.",
        activity.DryRun,
        acting.dry_run,
        body=given.DryRunBody,
    ),
    Endpoint(
        "POST",
        f"{_BASE}/operations",
        _O,
        "Start the operation of a dry run.",
        activity.OperationView,
        acting.start,
        body=given.StartBody,
    ),
    Endpoint(
        "GET",
        f"{_BASE}/operations/{{id}}",
        _R,
        "How far an operation has come.",
        activity.OperationView,
        reading.get_operation,
    ),
    Endpoint(
        "POST",
        f"{_BASE}/operations/{{id}}/cancel",
        _O,
        "Stop an operation after its present step. What it has changed stays.",
        activity.OperationView,
        acting.cancel,
    ),
    Endpoint("GET", f"{_BASE}/openapi.json", _R, "This API as an OpenAPI 3.1 document.", None, _document),
)
