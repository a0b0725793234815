# ruff: noqa: RUF001 - fingerprints have angle quotation marks
"""Answers as a busy day gives them, for the pages' tests. ``Texts`` are the texts that come from outside."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fmq_web.answers.activity import (
    ActionView,
    Activity,
    DryRun,
    OperationKind,
    OperationView,
    RouteView,
    Services,
    ServiceView,
)
from fmq_web.answers.messages import (
    AttemptView,
    DeadGroup,
    DeadGroups,
    MessageHead,
    MessagePage,
    MessageView,
    PayloadWindow,
    Property,
    StateName,
    Step,
)
from fmq_web.answers.queues import (
    History,
    HistoryPoint,
    Need,
    Overview,
    PauseState,
    QueueRow,
    QueueView,
    StoreSizes,
    Tide,
)
from fmq_web.http.route import Shown
from fmq_web.operations.publisher import Publisher
from fmq_web.pages import runbooks, shown
from fmq_web.pages.asked import Asked, group_of
from fmq_web.settings import WebSettings

NOW = 1_795_948_503.0  # 2026-11-29 10:35:03 UTC
NAMES = (
    "alarms", "billing/+/invoice", "dstdb", "factory/press-4/status", "factory/press-7/status", "fleet/+/position",
    "meters/#", "orders", "sensors/+/humidity", "sensors/+/temp", "shop/events", "weather/+/forecast",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts from outside."""

    queue: str = "alarms"
    topic: str = "alarms/boiler-2/pressure"
    head: str = '{"sensor": "boiler-2", "bar": 11.84, "limit": 9.5, "at": "2026-11-29T10:31:07Z"}'
    reason: str = "ConnectionRefusedError: [Errno 111] connect to 10.0.3.17:5432 refused"
    fingerprint: str = "ConnectionRefusedError: [Errno ‹…›] connect to ‹…›:‹…› refused"
    worker: str = "processor-1"
    host: str = "fmq-worker-a"
    actor: str = "jana"
    name: str = "trace-id"
    value: str = "7d1c9e"
    payload: str = (
        '{\n  "sensor": "boiler-2",\n  "bar": 11.84,\n  "limit": 9.5,\n  "at": "2026-11-29T10:31:07Z",\n  "history": [\n    9.1,\n'
        '    9.48,\n    10.2,\n    11.84\n  ],\n  "serial": 90071992547409931234567890\n}'
    )

    @classmethod
    def all(cls, text: str) -> "Texts":
        """The same text everywhere."""
        return cls(*[text] * 11)


def need(kind: str, text: str, severity: str, runbook: str) -> Need:
    return Need.model_validate({"kind": kind, "severity": severity, "text": text, "runbook": runbook})


DEAD = need("dead", "has 38 dead letters", "bad", "FmqDeadLetters")
GROWS = need("waiting", "grows by 69 per second", "ask", "FmqBacklogLarge")


def tides(rate: float, *, late: bool = False, since: int = 0) -> list[Tide]:
    last = int(NOW // 60) - 1
    made = []
    for index in range(since, 60):
        wave = rate * (1 + 0.35 * math.sin(index / 7.0) + 0.12 * math.sin(index * 2.3))
        out = wave if not late or index < 24 else wave * max(0.05, 1 - (index - 24) / 18)
        made.append(Tide(minute=last - 59 + index, inflow=wave, outflow=out))
    return made


def row(name: str, number: int, *, alarm: bool = False, paused: str | None = None) -> QueueRow:
    rate = (71.0, 4.2, 50.0, 0.3, 118.0, 0.0)[number % 6]
    return QueueRow(
        name=name,
        stored=1_204_332 + 7_919 * number,
        handled=1_201_984,
        failed=402,
        died=38,
        waiting=2_310 if alarm else (0, 3, 0, 12, 0)[number % 5],
        running=50 if alarm else number % 9,
        retrying=12 if alarm else 0,
        done=88_000,
        dead=38 if alarm else 0,
        oldest_seconds=548.0 if alarm else (None, 0.4, None, 4.0, None)[number % 5],
        in_per_second=rate,
        out_per_second=2.0 if alarm else rate,
        drain_seconds=None,
        paused=None if paused is None else PauseState(since=NOW - 3_000, reason=paused),
        needs=[DEAD, GROWS] if alarm else [],
        last_hour=tides(rate, late=alarm, since=17 if number == 4 else 0) if rate else [],
        last_message_at=NOW - 2 - number if rate else NOW - 90_000,
    )


def overview(texts: Texts = Texts(), queues: int = 12) -> Overview:
    names = [
        texts.queue,
        *(NAMES[1:] if queues <= len(NAMES) else [f"site/{number}/+/state" for number in range(1, queues)]),
    ]
    return Overview(
        at=NOW,
        summary=f"1 of {queues} queues needs you: {texts.queue} has 38 dead letters."
        if queues
        else "There is no queue yet.",
        detail="1,204 messages wait, the oldest 9 min. A listener and two processors are at work.",
        queues=[row(name, number, alarm=not number) for number, name in enumerate(names[:queues])],
        sizes=StoreSizes(database_bytes=6_400_000, log_bytes=1_100_000, free_disk_bytes=84_000_000_000),
        needs=[need("disk", "The disk will be full within a day.", "ask", "FmqDiskFillsUp")] if queues else [],
        total_stored=14_451_984 if queues else 0,
    )


def history(texts: Texts, hours: int) -> History:
    step = {1: 1, 6: 2, 24: 10}[hours]
    last = int(NOW // 60) - step
    points = []
    for index in range(hours * 60 // step):
        at = index / (hours * 60 / step)
        wave = 71 * (1 + 0.3 * math.sin(index / 9.0) + 0.1 * math.sin(index * 1.7))
        late = max(0.0, (at - 0.55) / 0.45)
        points.append(
            HistoryPoint(
                minute=last - (hours * 60 // step - 1 - index) * step,
                minutes=step,
                inflow=wave,
                outflow=wave * (1 - 0.95 * late),
                failed=6 * late,
                waiting=int(2_310 * late * late) + 4,
                dead=int(38 * late),
                oldest_seconds=548 * late if late else None,
            )
        )
    return History(queue=texts.queue, hours=hours, points=points)


def head(texts: Texts, number: int, state: StateName) -> MessageHead:
    failed = state in ("dead", "delayed")
    return MessageHead(
        id=str(9_120_433 - number),
        queue=texts.queue,
        topic=texts.topic,
        state=state,
        received_at=NOW - 3 - number * 7.3,
        size=82 + 1000 * number * number,
        head=texts.head,
        head_is_binary=False,
        qos=1,
        retain=number == 2,
        retries=3 if failed else 0,
        settled_at=NOW - number if state in ("done", "dead") else None,
        due_in=12.0 if state == "delayed" else None,
        lease_seconds=21.0 if state == "claimed" else None,
        reason=texts.reason if failed else "",
    )


def messages(texts: Texts, *, before: str | None = "b64", empty: bool = False, dead: bool = False) -> MessagePage:
    states: tuple[StateName, ...] = ("dead",) if dead else ("pending", "claimed", "delayed", "done", "dead")
    heads = [] if empty else [head(texts, number, states[number % len(states)]) for number in range(10)]
    return MessagePage(
        queue=texts.queue, messages=heads, looked_at=412_000 if empty else 10, total=5_000_000, before=before
    )


def message(texts: Texts) -> MessageView:
    return MessageView(
        head=head(texts, 4, "dead"),
        properties=[
            Property(name="Content type", value="application/json", user=False),
            Property(name=texts.name, value=texts.value, user=True),
        ],
        more_properties=1_200,
        still_more_properties=False,
        attempts=[
            AttemptView(
                number=number, at=NOW - 300 + number * 61, cause="exception", reason=texts.reason, worker=texts.worker
            )
            for number in (1, 2, 3)
        ],
        life=[
            Step(what="received", at=NOW - 330, text="Received with 82 bytes, QoS 1"),
            Step(what="tried", at=NOW - 239, text="Attempt 1 by " + texts.worker + " failed: " + texts.reason),
            Step(what="tried", at=NOW - 178, text="Attempt 2 by " + texts.worker + " failed: " + texts.reason),
            Step(what="tried", at=NOW - 117, text="Attempt 3 by " + texts.worker + " failed: " + texts.reason),
            Step(what="dead", at=NOW - 117, text="Moved to dead letters: " + texts.reason),
        ],
    )


def groups(texts: Texts) -> DeadGroups:
    others = (
        (1_190, "TimeoutError: no answer within ‹…› s", "TimeoutError: no answer within 30 s"),
        (3, "rejected: unknown customer ‹…›", "rejected: unknown customer 90177"),
    )
    return DeadGroups(
        queue=None,
        groups=[
            DeadGroup(
                queue=texts.queue,
                fingerprint=texts.fingerprint,
                count=34,
                first_at=NOW - 1500,
                last_at=NOW - 117,
                reason=texts.reason,
            ),
            *(
                DeadGroup(
                    queue="orders",
                    fingerprint=words,
                    count=number,
                    first_at=NOW - 80_000,
                    last_at=NOW - 6_000,
                    reason=last,
                )
                for number, words, last in others
            ),
        ],
        looked_at=1_227,
        total=1_227,
        before="next",
    )


def services(texts: Texts) -> Services:
    fire = RouteView(
        name=texts.worker,
        queues=[texts.queue],
        topics=[texts.queue],
        handler=texts.worker,
        circuit=texts.queue,
        rate=texts.worker,
        in_hand=7,
    )
    routes = [fire, fire.model_copy(update={"topics": [], "circuit": "", "rate": ""})]

    def one(name: str, kind: str, *, away: bool = False, circuit: str | None = "") -> ServiceView:
        listens = kind == "listener"
        return ServiceView(
            name=name,
            kind=kind,
            host=texts.host,
            pid=4_711,
            version="0.2.0",
            started_at=NOW - 86_000,
            unseen_seconds=312.0 if away else 4.0,
            away=away,
            queues=[texts.queue, "sensors/+/temp"] if listens else [],
            connected=True if listens else None,
            handler=None if listens else "webhook",
            circuit=None if listens else circuit,
            in_hand=0 if listens else 32,
            routes=[] if listens else routes,
            p50_seconds=None if listens or away else 0.018,
            p95_seconds=None if listens or away else 0.24,
        )

    return Services(
        services=[
            one("listener-1", "listener"),
            one(texts.worker, "processor"),
            one("processor-2", "processor", circuit="open for 40 s"),
            one("processor-3", "processor", away=True),
        ]
    )


def operation(texts: Texts, state: str = "running") -> OperationView:
    return OperationView.model_validate(
        {
            "id": "op-7",
            "kind": "requeue",
            "queue": texts.queue,
            "selection": f"dead, group {texts.fingerprint!r}",
            "actor": texts.actor,
            "state": state,
            "total": 41_000,
            "more": False,
            "changed": 17_000,
            "rate": 500.0,
            "started_at": NOW - 34,
            "ended_at": None,
            "problem": "" if state == "running" else texts.reason,
        }
    )


def activity(texts: Texts) -> Activity:
    kinds = ("requeue", "pause", "resume", "purge", "sign-in", "handle-again")
    return Activity(
        operations=[operation(texts), operation(texts, "failed")],
        actions=[
            ActionView(
                number=str(90 - number),
                at=NOW - 40 - 1_000 * number,
                actor=texts.actor,
                kind=kind,
                queue="" if kind == "sign-in" else texts.queue,
                selection=f"dead, topic {texts.topic!r}" if kind in ("requeue", "purge") else "",
                changed=17_000 // (number + 1),
                ended_at=None if not number else NOW - 990 * number,
            )
            for number, kind in enumerate(kinds)
        ],
        before="84",
    )


def dry_run(texts: Texts, kind: OperationKind) -> DryRun:
    return DryRun(
        token="t0ken",  # noqa: S106 - of a made-up dry run
        kind=kind,
        queue=texts.queue,
        selection=f"dead, group {texts.fingerprint!r}",
        count=1_190,
        more=False,
    )


def window(texts: Texts, kind: str = "json", size: int | None = None) -> PayloadWindow:
    length = len(texts.payload)
    return PayloadWindow.model_validate(
        {"offset": 65_536 if size else 0, "length": length, "size": size or length, "kind": kind, "text": texts.payload}
    )


def publisher() -> Publisher:
    """One that reaches nobody."""
    settings = WebSettings(broker_url="mqtts://broker.example.com:8883")
    assert settings.broker is not None
    return Publisher(settings, settings.broker)


def every_page(texts: Texts = Texts()) -> Mapping[str, Shown]:
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
        "error-404": Shown("404.html", {"title": "404", "detail": "There is no message 42."}, 404),
        "error": Shown("error.html", {"title": "This request has a mistake", "detail": texts.reason}, 422),
        "runbook": Shown("runbook.html", {"name": "FmqDeadLetters", "blocks": runbooks.runbook("FmqDeadLetters")}),
        "store-unreadable": Shown(
            "store_unreadable.html", {"title": "The store", "detail": texts.reason, "last": overview(texts)}, 503
        ),
    }
