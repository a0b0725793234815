"""What the settings of everything installed come to."""

import sys
from pathlib import Path

import pytest

from fmq.service import inventory
from fmq.service.environment import Reading
from fmq_listener.settings import ListenerSettings
from fmq_processor.settings import ProcessorSettings


def test_every_setting_once_with_its_origin() -> None:
    """Each field of the settings is shown, from the environment or by default, and a secret never."""
    environ = {
        "FMQ_BATCH": "20",
        "FMQ_BROKER_URL": "mqtt://anna:hunter2@host",
        "FMQ_BROKER_PASSWORD_FILE": "/run/secrets/broker",
    }
    reading = Reading({}, environ)
    sections = inventory.in_use(reading)
    found = {one.name: one for one in inventory.effective(sections["listener"], reading)}
    assert found.keys() == ListenerSettings.model_fields.keys()
    assert (found["broker_url"].value, found["broker_url"].origin) == ("mqtt://anna:(hidden)@host", "FMQ_BROKER_URL")
    assert found["broker_password"].value == "(hidden)"
    assert found["broker_password"].origin == "FMQ_BROKER_PASSWORD_FILE=/run/secrets/broker"
    assert (found["inflight"].value, found["inflight"].origin) == ("10000", "default")
    batch = {one.name: one for one in inventory.effective(sections["processor"], reading)}["batch"]
    assert (batch.value, batch.origin) == ("20", "FMQ_BATCH")


def test_missing_topics_are_no_mistake() -> None:
    """They may come as arguments; wrong ones are a mistake."""
    assert inventory.check(ListenerSettings, {}) is None
    assert "a/#/b" in str(inventory.check(ListenerSettings, {"FMQ_TOPICS": "a/#/b"}))


def test_settings_of_handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler's own settings are known, shown while it is chosen, and their mistakes told only then."""
    (tmp_path / "own_handler.py").write_text(
        "from fmq.service.settings import HandlerSettings, setting\n"
        "class Own(HandlerSettings):\n"
        "    own_url: str = setting(..., about='Where.', expected='a URL')\n"
        "class Handle:\n"
        "    Settings = Own\n"
        "    def __init__(self, settings, registry): pass\n"
        "    def handle(self, message): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    chosen = {"FMQ_HANDLER": "own_handler:Handle"}
    reading = Reading({}, chosen)
    section = inventory.in_use(reading)["handler own_handler:Handle"]
    assert inventory.effective(section, reading)[0].value is None
    (told,) = inventory.problems("processor", ProcessorSettings, chosen)
    assert "FMQ_OWN_URL is not set" in told
    reading = Reading({}, given := {**chosen, "FMQ_OWN_URL": "http://a:b@c"})
    assert inventory.problems("processor", ProcessorSettings, given) == []
    assert inventory.effective(section, reading)[0].value == "http://a:(hidden)@c"
    (told,) = inventory.problems("processor", ProcessorSettings, {"FMQ_OWN_URL": "x"})
    assert told.startswith("Unknown setting FMQ_OWN_URL. Nothing reads it")
    assert "handler own_handler:Handle" not in inventory.in_use(Reading({}, {}))
