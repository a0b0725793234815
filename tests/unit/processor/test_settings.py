"""The processor's settings."""

import pytest

from fmq.errors import SettingsError
from fmq.service.environment import load
from fmq_processor.settings import ProcessorSettings


def test_the_defaults_are_the_guides() -> None:
    """10 messages a batch, 1 second of sleep."""
    settings = load(ProcessorSettings, {}, {})
    assert (settings.batch, settings.sleep, settings.handler, settings.max_retries) == (10, 1.0, "log", 3)


def test_all_mistakes_are_told_at_once() -> None:
    """Those of single settings and those between settings, with what would be right."""
    with pytest.raises(SettingsError) as caught:
        load(
            ProcessorSettings,
            {"batch": "0", "sleep": "-1"},
            {
                "FMQ_BACKOFF_INITIAL": "10",
                "FMQ_BACKOFF_MAXIMUM": "5",
                "FMQ_LEASE_SECONDS": "nan",
                "FMQ_ORDERED": "maybe",
            },
        )
    for name in ("--batch='0'", "--sleep='-1'", "FMQ_BACKOFF_MAXIMUM='5'", "FMQ_LEASE_SECONDS", "FMQ_ORDERED"):
        assert name in str(caught.value)
    assert "shorter than the first delay (10s)" in str(caught.value)


@pytest.mark.parametrize("sleep", ["0", "0.5", "2"])
def test_sleep_may_be_zero_or_a_fraction(sleep: str) -> None:
    """As in the guide's examples."""
    assert load(ProcessorSettings, {"sleep": sleep}, {}).sleep == float(sleep)


@pytest.mark.parametrize(
    ("concurrency", "is_async", "is_batch", "expected"),
    [
        (0, False, False, 1),
        (0, True, False, 10),
        (0, False, True, 1),
        (0, True, True, 1),
        (4, False, False, 4),
        (4, True, True, 4),
    ],
)
def test_concurrency_suits_the_handler(concurrency: int, is_async: bool, is_batch: bool, expected: int) -> None:  # noqa: FBT001
    """Unless it is set."""
    settings = ProcessorSettings(concurrency=concurrency)
    assert settings.calls_at_once(is_async=is_async, is_batch=is_batch) == expected


def test_queues_are_named_without_the_share_group() -> None:
    """FMQ_TOPICS may be the one that the listener has."""
    settings = ProcessorSettings(topics=("$share/group/sensors/+/temp", "dstdb", "$shared"))
    assert settings.queues == ("sensors/+/temp", "dstdb", "$shared")


def test_decoding_and_filter_are_checked_at_the_start() -> None:
    """Each with what is wrong, before any message is skipped or buried by it."""
    with pytest.raises(SettingsError) as caught:
        load(ProcessorSettings, {"decode": "json,gzip"}, {"FMQ_FILTER": "kind == 'alarm'", "FMQ_DECODE_BYTES": "0"})
    for part in ("--decode='json,gzip': 'gzip' needs bytes", "unknown field 'kind'", "FMQ_DECODE_BYTES='0'"):
        assert part in str(caught.value)
    with pytest.raises(SettingsError, match="it uses the body, but FMQ_DECODE=none"):
        load(ProcessorSettings, {"filter": "body.kind == 'alarm'"}, {})
    assert load(ProcessorSettings, {"filter": "user.kind == 'alarm'"}, {}).decoder is None
    assert load(ProcessorSettings, {}, {}).admitted is None
