"""Queues of routes that the listener of the same file does not fill."""

import tomllib

import pytest

from fmq.service.config.file import ConfigFile
from fmq.service.config.queues import unfilled


def told(text: str) -> list[str]:
    """The remarks on a file of this text."""
    return list(unfilled(ConfigFile("fmq.toml", tomllib.loads(text), text)))


LISTENER = '[listener]\ntopics = ["sensors/#", "$share/g/alarms/+"]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[route]]\nqueues = ["sensor/#"]\n', []),
        (LISTENER + '[[route]]\nqueues = ["sensors/#", "alarms/+", "$quarantine"]\n[[route]]\n', []),
        (LISTENER + '[processor]\nqueues = "alarms/+, $share/h/sensors/#"\n', []),
        (
            LISTENER + '[[route]]\n[[route]]\nqueues = ["alarms/+", "sensor/#"]\n',
            ["fmq.toml:5: the queue sensor/# is not in [listener] topics. Did you mean 'sensors/#'?"],
        ),
        (
            LISTENER + '[processor]\nqueues = ["other"]\n',
            ["fmq.toml:4: the queue other is not in [listener] topics. The listener of this file does not fill it"],
        ),
        (
            "[listener]\ntopics = 'sensors/#'\n[[route]]\nqueues = 'sensors/1'\n",
            ["fmq.toml:4: the queue sensors/1 is not in [listener] topics. Did you mean 'sensors/#'?"],
        ),
    ],
)
def test_remarks(text: str, expected: list[str]) -> None:
    """Each names the queue, its line and the nearest topic filter. Other programs may fill a queue, so it is no error."""
    assert told(text) == expected
