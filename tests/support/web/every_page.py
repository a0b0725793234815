"""Every page with answers as a busy day gives them. ``Texts`` are the texts that come from outside."""

from collections.abc import Mapping

from fmq_web.answers.activity import Services
from fmq_web.answers.messages import DeadGroups
from fmq_web.answers.queues import QueueView
from fmq_web.http.route import Shown
from fmq_web.operations.publisher import Publisher
from fmq_web.pages import runbooks, shown
from fmq_web.pages.asked import Asked, group_of
from fmq_web.settings import WebSettings
from support.web.activity import activity, dry_run, services
from support.web.messages import groups, message, messages, window
from support.web.queues import history, overview, row
from support.web.texts import NAMES, NOW, USUAL, Texts


def publisher() -> Publisher:
    """One that reaches nobody."""
    settings = WebSettings(broker_url="mqtts://broker.example.com:8883")
    assert settings.broker is not None
    return Publisher(settings, settings.broker)


def every_page(texts: Texts = USUAL) -> Mapping[str, Shown]:
    """Each page, by a name that is also its path in the preview."""
    view = QueueView(
        at=NOW,
        counts=row(texts.queue, 0, alarm=True),
        ordered=True,
        subscribed=True,
        deletable=True,
        handled_by=[texts.worker, "processor-2"],
    )
    paused = view.model_copy(update={"counts": row(texts.queue, 0, alarm=True, paused=texts.reason), "handled_by": []})
    asked = Asked(queue=texts.queue, topic=texts.topic, text=texts.head, since="2026-11-29 10:15:03")
    dead = Asked(queue=texts.queue, state="dead", group=group_of(texts.fingerprint), reason=texts.reason)
    nothing = history(texts, 1).model_copy(update={"points": []})
    return {
        "overview": shown.overview(overview(texts), None),
        "overview-sorted": shown.overview(overview(texts), "waiting"),
        "overview-empty": shown.overview(overview(texts, 0), None),
        "queue": shown.queue(view, history(texts, 1), messages(texts)),
        "queue-day": shown.queue(paused, history(texts, 24), messages(texts)),
        "queue-new": shown.queue(paused, nothing, messages(texts, empty=True)),
        "messages": shown.messages(messages(texts), asked),
        "messages-dead": shown.messages(messages(texts, dead=True, before=None), dead),
        "messages-none": shown.messages(messages(texts, empty=True), asked),
        "message": shown.message(message(texts), window(texts)),
        "message-large": shown.message(message(texts), window(texts, "hex", 10_485_760)),
        "message-broker": shown.message(message(texts), window(texts), publisher()),
        "message-hidden": shown.message(message(texts), None),
        "dead": shown.dead(groups(texts), [texts.queue, *NAMES[1:]]),
        "dead-none": shown.dead(DeadGroups(queue=None, groups=[], looked_at=0, total=0, before=None), []),
        "workers": shown.workers(services(texts)),
        "workers-none": shown.workers(Services(services=[])),
        "activity": shown.activity(activity(texts)),
        "preview-purge": shown.preview(dry_run(texts, "purge"), back="/dead", download="/api/v1/dead/export?queue=a"),
        "preview-requeue": shown.preview(dry_run(texts, "requeue"), back="/dead", download=None),
        "preview-purge-queue": shown.preview(dry_run(texts, "purge-queue"), back="/", download=None),
        "preview-picked": shown.picked(texts.queue, ["41", "42"], dead, back="/messages"),
        "preview-delete": shown.preview(dry_run(texts, "delete-queue"), back="/", download=None),
        "sign-in": Shown(
            "sign_in.html", {"next": texts.value, "user": texts.actor, "problem": "The name or the password is wrong."}
        ),
        "error-403": Shown("403.html", {"title": "403", "detail": "This needs the role operate."}, 403),
        "error-404": Shown("404.html", {"title": "404", "detail": "Message 42 is not in this queue any more."}, 404),
        "error": Shown("error.html", {"title": "This request has a mistake", "detail": texts.reason}, 422),
        "runbook": Shown("runbook.html", {"name": "FmqDeadLetters", "blocks": runbooks.runbook("FmqDeadLetters")}),
        "store-unreadable": Shown(
            "store_unreadable.html", {"title": "The store", "detail": texts.reason, "last": overview(texts)}, 503
        ),
    }
