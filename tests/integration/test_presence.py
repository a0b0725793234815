"""What services leave in the store for a page: their reports, minutes, failed attempts; and what operators did."""

import signal
from pathlib import Path

from fmq.store.backends import open_store
from fmq.store.selection import Selection, State
from support.broker import Broker, publish
from support.processes import Processes
from support.wait import wait_for

_HANDLER = "def handle(message):\n    raise ValueError(f'no column {message.text!r}')\n"


def test_what_a_page_shows(broker: Broker, fmq: Processes, database: Path) -> None:
    """Both services with their state, the minute, and for each failed attempt its cause, reason and worker."""
    (fmq.folder / "handlers.py").write_text(_HANDLER)
    listener = fmq.start("listen", "a/#", FMQ_BROKER_URL=broker.url)
    listener.wait_to_say("Connected and subscribed")
    processor = fmq.start("process", "a/#", FMQ_HANDLER="handlers:handle", FMQ_MAX_RETRIES="0")
    publish(broker.port, [("a/1", b"x")])
    with open_store(f"sqlite:///{database}", create=False) as store:
        wait_for(lambda: len(store.services()) == 2, what="both reports")
        wait_for(lambda: store.stats("a/#").died == 1, what="the dead letter")
        wait_for(store.history, what="the minute")
        reports = {one.report.kind: one.report for one in store.services()}
        assert reports["listener"].state["queues"] == ["a/#"]
        assert str(reports["listener"].state["client_id"]).startswith("fmq-")
        assert reports["processor"].state["handler"] == "handlers:handle"
        assert reports["processor"].pid == processor.pid
        [letter] = store.heads("a/#", Selection(State.DEAD)).heads
        detail = store.detail("a/#", letter.id)
        assert detail is not None
        [attempt] = detail.attempts
        assert (attempt.cause, attempt.worker) == ("exception", f"{reports['processor'].host}/{processor.pid}")
        assert attempt.reason.splitlines()[0].endswith("ValueError: no column 'x'")
        assert processor.terminate() == 0
        assert [one.report.kind for one in store.services()] == ["listener"]
        listener.signal(signal.SIGKILL)
        listener.wait()
        assert [one.report.kind for one in store.services()] == ["listener"]  # seen to be away by its age


def test_who_did_what(fmq: Processes, database: Path) -> None:
    """Each command that changes something leaves a record with its selection and the number of messages."""
    from fmq.message import Incoming  # noqa: PLC0415
    from fmq.outcome import Dead  # noqa: PLC0415

    with open_store(f"sqlite:///{database}") as store:
        store.declare("q")
        store.put([Incoming("q", f"t/{n}", b"x", 1.0) for n in range(5)])
        store.settle([(claim, Dead("bad")) for claim in store.claim("q", 5, lease=60)])
        for words in (
            ("pause", "q", "--reason", "target moves"),
            ("resume", "q"),
            ("dead", "requeue", "q", "--topic", "t/1"),
            ("dead", "purge", "q", "3", "--yes"),
        ):
            assert fmq.start(*words).wait() == 0
        actions = store.actions()
        assert [(one.kind, one.queue, one.changed) for one in actions] == [
            ("purge", "q", 1),
            ("requeue", "q", 1),
            ("resume", "q", 0),
            ("pause", "q", 0),
        ]
        assert all(one.ended_at is not None and "@" in one.actor for one in actions)
        assert actions[0].selection == "ids 3"
        assert actions[1].selection.startswith("dead, topic 't/1', until ")
        assert actions[3].selection == "target moves"
