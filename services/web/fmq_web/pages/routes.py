"""The table of pages and of the targets of their forms."""

from collections.abc import Sequence

from fmq_web.http.peer.caller import Role
from fmq_web.http.route import Page, PlainPage
from fmq_web.pages import acting, looking, picking
from fmq_web.pages.asked import Asked

_R, _O = Role.READ, Role.OPERATE

PAGES: Sequence[Page | PlainPage] = (
    Page("GET", "/", _R, looking.show_overview, looking.OverviewQuery),
    Page("GET", "/queue", _R, looking.show_queue, looking.QueueQuery),
    Page("GET", "/messages", _R, looking.show_messages, Asked),
    Page("GET", "/message", _R, looking.show_message, looking.MessageQuery),
    Page("GET", "/dead", _R, looking.show_dead, looking.DeadQuery),
    Page("GET", "/workers", _R, looking.show_workers),
    Page("GET", "/activity", _R, looking.show_activity, looking.ActivityQuery),
    PlainPage("/runbook", _R, looking.show_runbook, looking.RunbookQuery),
    Page("POST", "/queue/pause", _O, acting.pause, acting.ThisQueue, acting.PauseForm),
    Page("POST", "/queue/resume", _O, acting.resume, acting.ThisQueue),
    Page("POST", "/messages/picked", _O, picking.change, acting.ThisQueue, picking.PickedForm),
    Page("POST", "/message/handle-again", _O, acting.handle_again, acting.ThisMessage),
    Page("POST", "/message/publish", _O, acting.publish, acting.ThisMessage, acting.PublishForm),
    Page("POST", "/operations/preview", _O, acting.preview, acting.ThisQueue, acting.PreviewForm),
    Page("POST", "/operations/start", _O, acting.start, body=acting.StartForm),
    Page("POST", "/operations/cancel", _O, acting.cancel, acting.ThisOperation),
)
