"""What is logged of messages that something is wrong with."""

import logging

import pytest

from fmq_listener.intake.notices import Notices
from fmq_listener.mqtt.packets.batch import Batch, Oversized, Quarantined
from support.clock import FakeClock


def test_a_flood_is_a_line_per_kind_and_period(caplog: pytest.LogCaptureFixture) -> None:
    """The first is reported at once; what follows within ten seconds is reported together, with its number and a few examples."""
    caplog.set_level(logging.WARNING)
    clock = FakeClock()
    notices = Notices(clock, most_packet_bytes=1_000)
    for number in range(100):
        batch = Batch(1)
        batch.unroutable = [(f"topic {number} {{}}", "q")]
        batch.quarantined = [Quarantined("t", "no topic")]
        batch.oversized = [Oversized("huge", 2_000, number % 2)]
        notices.take(batch)
        clock.advance(0.05)
    assert len(caplog.records) == 4
    assert "match no topic filter (1)" in caplog.text
    assert "topic 0 {} (now in q)" in caplog.text
    caplog.clear()
    clock.advance(10)
    notices.tell_if_due()
    texts = [record.getMessage() for record in caplog.records]
    assert [text[: text.index(")")].rpartition("(")[2] for text in texts] == ["99", "99", "49", "49"]
    assert texts[0].endswith(
        "topic 1 {} (now in q), topic 2 {} (now in q), topic 3 {} (now in q), topic 4 {} (now in q), topic 5 {} (now in q), …"
    )
    assert "DISCARDED" in texts[3]
    caplog.clear()
    notices.tell()
    assert not caplog.records
