"""Settings: from flags and environment, all errors together, secrets never shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from fmq.errors import SettingsError
from fmq.service.environment import Reading, load
from fmq.service.settings import HandlerSettings, Settings, setting
from fmq.store.options import Durability


class Example(Settings):
    """A service with a secret."""

    broker_password: SecretStr | None = setting(
        None, about="The password.", expected="the broker's password", min_length=8
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


class ShopSettings(HandlerSettings):
    """A handler's settings, one of them needed."""

    shop_url: str = setting(
        ..., about="Where the shop is.", expected="a URL such as https://shop.example", pattern="^https?://[^:@]+$"
    )
    shop_key: SecretStr | None = setting(None, about="Its key.", expected="8 characters or more", min_length=8)


def test_several_models_are_read_together() -> None:
    """What is wrong with any of them is in one error, and a right one is returned all the same."""
    reading = Reading(
        {"http_port": "x"}, {"FMQ_SHOP_URL": "ftp://me:pass@shop", "FMQ_SHOP_KEY": "short", "FMQ_SLEEP": "x"}
    )
    assert reading.read(Example) is None
    assert reading.read(ShopSettings) is None
    text = str(reading.error())
    for part in ("--http-port='x'", "FMQ_SHOP_URL='ftp://me:(hidden)@shop'", "FMQ_SHOP_KEY=(hidden)"):
        assert part in text
    assert "short" not in text
    assert len(text.splitlines()) == 4
    with pytest.raises(SettingsError, match=r"FMQ_SHOP_URL is not set: expected a URL such as https://shop.example"):
        load(ShopSettings, {}, {})
    good = Reading({}, {"FMQ_SHOP_URL": "https://shop.example"})
    assert good.read(ShopSettings) == ShopSettings(shop_url="https://shop.example")
    assert good.problems == []


def test_a_variable_has_one_meaning() -> None:
    """A second model that has a setting of the same name is refused."""

    class Greedy(HandlerSettings):
        http_port: int = setting(0, about="Another port.", expected="a port")

    reading = Reading({}, {})
    assert reading.read(Example) is not None
    assert reading.read(Greedy) is None
    assert reading.problems == [
        "FMQ_HTTP_PORT names two settings. The settings of a handler start with the handler's name"
    ]


def test_flags_that_nobody_reads_are_refused() -> None:
    """Rather than without effect; those that were not given are not, and no password is shown."""
    reading = Reading({"shop_url": "amqp://me:pass@shop", "http_port": "1", "shop_size": None}, {})
    reading.read(Example)
    reading.refuse_other_flags("no setting of the handler 'log'")
    assert reading.problems == ["--shop-url='amqp://me:(hidden)@shop': no setting of the handler 'log'"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("mqtt://me:pass:w/o@rd@host/x", "mqtt://me:(hidden)@host/x"),
        ("https:/me:pass@host", "https:/me:(hidden)@host"),
        ("me:pass@host", "me:(hidden)@host"),
        ("https:me:pass@host", "https:(hidden)@host"),
        ("https://host:80/x", "https://host:80/x"),
    ],
)
def test_a_password_in_a_url_is_never_shown(value: str, shown: str) -> None:
    """Neither in what was meant for a URL, which is when it is shown."""

    class Example(HandlerSettings):
        example_url: str = setting("", about="", expected="", max_length=1)

    with pytest.raises(SettingsError) as caught:
        load(Example, {}, {"FMQ_EXAMPLE_URL": value})
    assert f"FMQ_EXAMPLE_URL='{shown}': " in str(caught.value)


def test_an_extra_that_is_not_installed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is missing and how to get it, next to other mistakes; off needs nothing."""
    monkeypatch.setattr("fmq.extras._EXTRA_OF", {"no_such_package": "otel"})
    assert load(Settings, {}, {"FMQ_TRACING": "off"}).tracing == "off"
    with pytest.raises(SettingsError) as caught:
        load(Settings, {}, {"FMQ_TRACING": "otel", "FMQ_HTTP_PORT": "x"})
    told = "FMQ_TRACING='otel': the Python package no_such_package is not installed. Install it with: pip install 'fmq-mqtt[otel]'"
    assert told in str(caught.value)
    assert "FMQ_HTTP_PORT" in str(caught.value)
