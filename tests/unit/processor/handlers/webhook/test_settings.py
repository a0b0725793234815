"""The settings of the webhook handler."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq.errors import SettingsError
from fmq.service.environment import load
from fmq_processor.handler_loading import choose
from fmq_processor.handlers.webhook.settings import WebhookSettings

KEY = "whsec_" + "A" * 32
SECRET = {"secrets": "whsec_c2VjcmV0", "secret_headers": '{"Webhook-Id": "hunter2"}'}


def settings(**given: str) -> WebhookSettings:
    environ = {f"FMQ_WEBHOOK_{name.upper()}": value for name, value in {"url": "https://host/x", **given}.items()}
    return load(WebhookSettings, {}, environ)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": ""}, "FMQ_WEBHOOK_URL is not set: expected https://host/path"),
        ({"url": "ftp://host"}, "must start with https:// or http://"),
        ({"url": "https:///x"}, "has no host"),
        ({"url": "https://host:0/"}, "0 is not a port"),
        ({"url": "https://host:http/"}, "is invalid"),
        ({"url": "https://host/#top"}, "never sent"),
        ({"url": "https://host/a b"}, "never sent"),
        ({"headers": "X: y"}, "not JSON"),
        ({"headers": '["X"]'}, "not a JSON object of strings"),
        ({"headers": '{"X": 1}'}, "not a JSON object of strings"),
        ({"headers": '{"X y": "1"}'}, "'X y' is not the name of a header"),
        ({"headers": '{"X": "a\\r\\nY: b"}'}, "not printable ASCII"),
        ({"headers": '{"Webhook-Id": "1"}'}, "fmq itself sets"),
        ({"headers": '{"Content-Length": "1"}'}, "fmq itself sets"),
        ({"headers": '{"X": "1", "x": "2"}'}, "twice"),
        ({"headers": '{"X": "1"}', "secret_headers": '{"x": "2"}'}, "FMQ_WEBHOOK_HEADERS also has the header x"),
        (
            {"url": "https://me:pass@host/", "secret_headers": '{"Authorization": "Bearer y"}'},
            "use only one",
        ),
        ({"url": "https://me:pass@host/", "headers": '{"Authorization": "Bearer y"}'}, "use only one"),
        ({"secrets": "whsec_?"}, "key 1 is not whsec_ followed by base64"),
        ({"secrets": f"{KEY} whsec_QUJD"}, "key 2 has 3 bytes"),
        ({"secrets": "  "}, "it is empty"),
        ({"method": "GET"}, "POST, PUT or PATCH"),
        ({"body": "xml"}, "raw, json, cloudevents or cloudevents-binary"),
        ({"timeout": "0"}, "time above 0"),
        ({"url": "http://host/", "ca_file": "ca.pem"}, "does not start with https://"),
        ({"cert_file": "cert.pem"}, "belong together"),
        ({"key_file": "key.pem"}, "belong together"),
    ],
)
def test_what_is_wrong_is_told(given: dict[str, str], told: str) -> None:
    """In words that say what would be right."""
    with pytest.raises(SettingsError) as caught:
        settings(**given)
    assert told in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    """Neither wrong nor right ones."""
    with pytest.raises(SettingsError) as caught:
        settings(**SECRET, url="https:/me:hunter2@host")
    assert len(str(caught.value).splitlines()) == 4
    assert "hunter2" not in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)
    assert "hunter2" not in repr(settings(secret_headers='{"X": "hunter2"}'))  # noqa: S106 - it is looked for


def test_secrets_and_headers_from_files(tmp_path: Path) -> None:
    """As orchestrators mount them: several secrets, one per line."""
    (tmp_path / "secrets").write_text(f"{KEY}\n{KEY[:-1]}B\n")
    given = load(
        WebhookSettings,
        {"webhook_url": "http://host"},
        {"FMQ_WEBHOOK_SECRETS_FILE": str(tmp_path / "secrets"), "FMQ_WEBHOOK_HEADERS": '{"X-Tenant": "blue"}'},
    )
    assert [len(key) for key in given.keys] == [24, 24]
    assert given.webhook_headers == (("x-tenant", "blue"),)


@pytest.mark.parametrize(
    ("given", "seconds", "told"),
    [
        ({}, 30.0, None),
        ({"timeout": "30"}, 30.0, "FMQ_WEBHOOK_TIMEOUT=30s: calls end after FMQ_HANDLER_TIMEOUT=30s"),
        ({"timeout": "300"}, 0.0, None),
    ],
)
def test_a_delivery_ends_before_it_is_cancelled(given: dict[str, str], seconds: float, told: str | None) -> None:
    """Else a target that is slow would get messages twice."""
    wrong = settings(**given).misfits(calls=1, seconds=seconds)
    assert len(wrong) == bool(told)
    assert (told or "") in "".join(wrong)


def test_timeouts_that_do_not_fit_are_refused_at_the_start() -> None:
    """Before anything is opened."""
    environ = {"FMQ_HANDLER": "webhook", "FMQ_WEBHOOK_URL": "http://x/", "FMQ_WEBHOOK_TIMEOUT": "60"}
    _, choice = choose({}, environ)
    with pytest.raises(SettingsError, match="calls end after FMQ_HANDLER_TIMEOUT=30s"):
        choice.make(CollectorRegistry())
