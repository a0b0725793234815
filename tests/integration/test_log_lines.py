"""How much is logged: lines tell of changes and of periods, never of single messages."""

import time
from pathlib import Path

import pytest

from support.broker import Broker, publish
from support.processes import FmqProcess, Processes
from support.wait import wait_for

_MESSAGES = 1_000


def _counted(process: FmqProcess, field: str) -> int:
    """The sum over all summary lines."""
    return sum(line[field] for line in process.log if field in line)


@pytest.mark.parametrize("outcome", ["True", "False"])
def test_lines_do_not_grow_with_messages(tmp_path: Path, broker: Broker, fmq: Processes, outcome: str) -> None:
    """1,000 messages stored and handled, or failed once each, at INFO: a dozen lines of each service, and a summary each 10 s.

    The summaries' fields add up to the messages.
    """
    (tmp_path / "user.py").write_text(f"def handle(message):\n    return message.retry_count > 0 or {outcome}\n")
    settings = {
        "FMQ_BACKOFF_INITIAL": 0.1,
        "FMQ_CIRCUIT_FAILURES": 0,
    }  # this number of failures in a row would look like an outage
    listener = fmq.start("listen", "q", FMQ_BROKER_URL=broker.url)
    listener.wait_to_say("Connected and subscribed")
    processor = fmq.start("process", "q", "100", "0.1", FMQ_HANDLER="user:handle", **settings)
    began = time.monotonic()
    publish(broker.port, [("q", b"%d" % number) for number in range(_MESSAGES)])
    done = f'fmq_messages{{queue="q",state="done"}} {_MESSAGES}.0'
    wait_for(lambda: done in listener.get("metrics"), 30, what="all to be done")
    wait_for(
        lambda: "fmq_messages{" not in processor.get("metrics"), 30, what="the listener, which shows them, to report"
    )
    assert listener.terminate() == processor.terminate() == 0
    assert _counted(listener, "stored") == _MESSAGES
    assert _counted(processor, "done") == _MESSAGES
    assert _counted(processor, "failed") == (0 if outcome == "True" else _MESSAGES)
    summaries = (time.monotonic() - began) / 10
    for service in (listener, processor):
        assert len(service.log) <= 14 + summaries, "\n".join(line["message"] for line in service.log)
        assert {line["level"] for line in service.log} == {"INFO"}
