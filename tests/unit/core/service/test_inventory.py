"""What the settings of everything installed come to."""

import sys
from pathlib import Path

import pytest

from fmq.service import inventory
from fmq_listener.settings import ListenerSettings
from fmq_processor.settings import ProcessorSettings


def test_every_setting_once_with_its_origin() -> None:
    """Each field of the settings is shown, from the environment or by default, and a secret never."""
    environ = {
        "FMQ_BATCH": "20",
        "FMQ_BROKER_URL": "mqtt://anna:hunter2@host",
        "FMQ_BROKER_PASSWORD_FILE": "/run/secrets/broker",
    }
    found = {one.name: one for one in inventory.effective(ListenerSettings, environ)}
    assert found.keys() == ListenerSettings.model_fields.keys()
    assert (found["broker_url"].value, found["broker_url"].origin) == ("mqtt://anna:(hidden)@host", "FMQ_BROKER_URL")
    assert found["broker_password"].value == "(hidden)"
    assert found["broker_password"].origin == "FMQ_BROKER_PASSWORD_FILE=/run/secrets/broker"
    assert (found["inflight"].value, found["inflight"].origin) == ("10000", "default")
    batch = {one.name: one for one in inventory.effective(ProcessorSettings, environ)}["batch"]
    assert (batch.value, batch.origin) == ("20", "FMQ_BATCH")


def test_missing_topics_are_no_mistake() -> None:
    """They may come as arguments; wrong ones are a mistake."""
    assert inventory.check(ListenerSettings, {}) is None
    assert "a/#/b" in str(inventory.check(ListenerSettings, {"FMQ_TOPICS": "a/#/b"}))


def test_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Misspelt variables are reported with a suggestion; those that Kubernetes sets for a service called fmq are not."""
    environ = {
        "FMQ_BATHC": "3",
        "FMQ_COLOUR": "red",
        "FMQ_BATCH": "3",
        "FMQ_BROKER_PASSWORD_FILE": "x",
        "FMQ_EMPTY": "",
        "FMQ_PORT": "tcp://10.0.0.1:9464",
        "FMQ_PORT_9464_TCP_ADDR": "10.0.0.1",
        "FMQ_SERVICE_HOST": "10.0.0.1",
        "FMQ_SERVICE_PORT_METRICS": "9464",
        "HOME": "/",
    }
    assert inventory.strangers(environ) == {"FMQ_BATHC": "FMQ_BATCH", "FMQ_COLOUR": None}
    monkeypatch.setattr(inventory, "services", lambda: {"processor": ProcessorSettings})
    assert inventory.strangers(environ) == {"FMQ_BATHC": "FMQ_BATCH"}, "settings of what is not installed are not known"


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
    model = inventory.in_use(chosen)["handler own_handler:Handle"]
    assert "FMQ_OWN_URL is not set" in str(inventory.check(model, chosen))
    assert inventory.effective(model, chosen)[0].value is None
    given = {**chosen, "FMQ_OWN_URL": "http://a:b@c"}
    assert inventory.check(model, given) is None
    assert inventory.effective(model, given)[0].value == "http://a:(hidden)@c"
    assert inventory.strangers(given) == {}
    assert inventory.strangers({"FMQ_OWN_URL": "x"}) == {"FMQ_OWN_URL": None}
    assert "handler own_handler:Handle" not in inventory.in_use({})
