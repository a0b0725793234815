"""Settings: from flags and environment, all errors together, secrets never shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from fmq.errors import SettingsError
from fmq.queue import Durability
from fmq.settings import Settings, load, setting


class Example(Settings):
    """A service with a secret."""

    broker_password: SecretStr | None = setting(
        None, about="The password.", right="the broker's password", min_length=8
    )


def test_defaults() -> None:
    """Without anything said, everything has a value, and durability is the service's choice."""
    settings = load(Example, {}, {})
    assert settings.queue_url == "sqlite:///mqtt_queue.db"
    assert settings.store_options(Durability.FULL).durability is Durability.FULL
    assert settings.broker_password is None


def test_a_flag_wins_over_the_environment() -> None:
    """What is said on the command line counts more; an empty variable is as good as none."""
    environ = {"FMQ_GRACE_SECONDS": "7", "FMQ_HTTP_PORT": "", "FMQ_TOPICS": " a/b, c/# ,,"}
    settings = load(Example, {"grace_seconds": "8"}, environ)
    assert (settings.grace_seconds, settings.http_port, settings.topics) == (8.0, None, ("a/b", "c/#"))
    assert load(Example, {}, environ).grace_seconds == 7.0


def test_all_errors_are_told_together() -> None:
    """Each wrong setting is named with its value and what would be right, under the name that it was given by."""
    with pytest.raises(SettingsError) as caught:
        load(
            Example,
            {"http_port": "70000"},
            {"FMQ_BUSY_SECONDS": "soon", "FMQ_LOG_FORMAT": "xml", "FMQ_QUEUE_URL": "x.db"},
        )
    text = str(caught.value)
    assert "--http-port='70000'" in text
    assert "a port from 0 to 65535" in text
    assert "FMQ_BUSY_SECONDS='soon'" in text
    assert "FMQ_LOG_FORMAT='xml'" in text
    assert "json or text" in text
    assert "FMQ_QUEUE_URL='x.db'" in text
    assert len(text.splitlines()) == 5


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    """A secret can stand in a file; its last newline does not belong to it."""
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    settings = load(Example, {}, {"FMQ_BROKER_PASSWORD_FILE": str(file)})
    assert settings.broker_password is not None
    assert settings.broker_password.get_secret_value() == "correct horse"
    assert "horse" not in repr(settings)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    """Neither a wrong secret nor the content of its file stands in an error."""
    with pytest.raises(SettingsError) as caught:
        load(Example, {}, {"FMQ_BROKER_PASSWORD": "hunter2"})
    assert "FMQ_BROKER_PASSWORD=(hidden)" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"FMQ_BROKER_PASSWORD_FILE=.*can't be read"):
        load(Example, {}, {"FMQ_BROKER_PASSWORD_FILE": str(tmp_path / "missing")})
