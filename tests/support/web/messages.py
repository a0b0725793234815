# ruff: noqa: RUF001 - fingerprints have angle quotation marks
"""Answers about messages and dead letters, as a busy day gives them."""

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
from support.web.texts import NOW, Texts


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


def window(texts: Texts, kind: str = "json", size: int | None = None) -> PayloadWindow:
    length = len(texts.payload)
    return PayloadWindow.model_validate(
        {"offset": 65_536 if size else 0, "length": length, "size": size or length, "kind": kind, "text": texts.payload}
    )
