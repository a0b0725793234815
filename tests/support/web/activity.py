"""Answers about services, operations and actions, as a busy day gives them."""

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
from support.web.texts import NOW, Texts


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
