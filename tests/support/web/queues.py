"""Answers about queues, as a busy day gives them."""

import math

from fmq_web.answers.queues import History, HistoryPoint, Need, Overview, PauseState, QueueRow, StoreSizes, Tide
from support.web.texts import NAMES, NOW, USUAL, Texts


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


def overview(texts: Texts = USUAL, queues: int = 12) -> Overview:
    names = [
        texts.queue,
        *(NAMES[1:] if queues <= len(NAMES) else [f"site/{number}/+/state" for number in range(1, queues)]),
    ]
    return Overview(
        at=NOW,
        summary=f"1 of {queues} queues needs you: {texts.queue} has 38 dead letters."
        if queues
        else "The store has no queues yet.",
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
