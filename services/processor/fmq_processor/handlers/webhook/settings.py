"""Settings of the handler ``webhook``."""

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, ValidationInfo, field_validator

from fmq.quantities import show
from fmq.service import headers
from fmq.service.headers import HEADERS_IN_A_FILE, Headers
from fmq.service.settings import HandlerSettings, setting
from fmq.service.tls import require_pair

_OURS = re.compile(
    r"(?:webhook|fmq|ce)-.*|content-length|transfer-encoding|connection|expect|keep-alive|te|trailer|upgrade",
    re.IGNORECASE,
)
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every Standard Webhooks secret begins with
_KEY_BYTES = range(24, 65)


def parse_headers(value: object) -> object:
    """Pairs of names (lower case) and values from a JSON object. Raises ValueError with the reason."""
    return headers.parse_headers(value, ours=_OURS) if isinstance(value, str) else value


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """The keys of Standard Webhooks secrets, separated by spaces or commas. Raises ValueError, which shows no key.

    A key has 24 to 64 bytes: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    keys = []
    for number, secret in enumerate(text.replace(",", " ").split(), 1):
        encoded = secret.removeprefix(_SECRET_PREFIX)
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"key {number} is not whsec_ followed by base64") from None
        if len(key) not in _KEY_BYTES:
            raise ValueError(f"key {number} has {len(key)} bytes, not 24 to 64")
        keys.append(key)
    return tuple(keys)


class WebhookSettings(HandlerSettings):
    """The settings of ``--handler webhook``."""

    webhook_url: str = setting(
        ...,
        about="URL to send messages to. Logs and reasons show only its scheme, host and port.",
        expected="https://host/path or http://host:8080/path",
        is_capability=True,
    )
    webhook_method: Literal["POST", "PUT", "PATCH"] = setting(
        "POST", about="Method of the requests.", expected="POST, PUT or PATCH"
    )
    webhook_body: Literal["raw", "json", "cloudevents", "cloudevents-binary"] = setting(
        "raw",
        about="Format of the requests. raw: the payload; json: the message as JSON; cloudevents: a CloudEvents 1.0 event in "
        "structured mode; cloudevents-binary: in binary mode.",
        expected="raw, json, cloudevents or cloudevents-binary",
    )
    webhook_headers: Annotated[Headers, BeforeValidator(parse_headers), HEADERS_IN_A_FILE] = setting(
        (),
        about="Additional headers of each request.",
        expected='a JSON object of strings, such as {"X-Tenant": "blue"}',
    )
    webhook_secret_headers: Annotated[SecretStr | None, HEADERS_IN_A_FILE] = setting(
        None,
        about="Additional headers with secrets, such as Authorization.",
        expected='a JSON object of strings, such as {"Authorization": "Bearer …"}',
    )
    webhook_secrets: SecretStr | None = setting(
        None,
        about="Secrets to sign requests with, by Standard Webhooks. During a rotation, the new and the old one.",
        expected="whsec_ and 24 to 64 bytes in base64; several are separated by spaces",
    )
    webhook_timeout: float = setting(
        15.0,
        about="Time that a delivery may take in all. Must be less than FMQ_HANDLER_TIMEOUT.",
        unit="seconds",
        expected="a time above 0, such as 15s",
        gt=0,
        le=86_400,
    )
    webhook_connect_timeout: float = setting(
        5.0,
        about="Time that connecting may take, including TLS.",
        unit="seconds",
        expected="a time above 0, such as 5s",
        gt=0,
        le=86_400,
    )
    webhook_read_timeout: float = setting(
        10.0,
        about="Time that the target may be silent.",
        unit="seconds",
        expected="a time above 0, such as 10s",
        gt=0,
        le=86_400,
    )
    webhook_retry_after_maximum: float = setting(
        3600.0,
        about="Maximum wait in seconds that the target can ask for by Retry-After.",
        unit="seconds",
        expected="a time, 0 or more, such as 1h",
        ge=0,
        le=604_800,
    )
    webhook_redirects: int = setting(
        0,
        about="Maximum number of redirects to follow in a row (301, 302, 307 and 308, with the same method and body).",
        expected="a whole number from 0 to 10",
        ge=0,
        le=10,
    )
    webhook_event_type: str = setting(
        "fmq.message",
        about="Attribute type of CloudEvents.",
        expected="a name such as com.example.reading",
        min_length=1,
    )
    webhook_event_source: str = setting(
        "",
        about="Attribute source of CloudEvents. Default: urn:uuid: and the identity of the store.",
        expected="a URI such as https://example.com/plant-7",
        pattern=r"^[!-~]*$",
    )
    webhook_ca_file: Path | None = setting(
        None, about="CA certificates that verify the target (PEM). Default: those of the system.", expected="a PEM file"
    )
    webhook_cert_file: Path | None = setting(
        None, about="Client certificate (PEM).", expected="a PEM file, with its key in FMQ_WEBHOOK_KEY_FILE"
    )
    webhook_key_file: Path | None = setting(
        None,
        about="Key of the client certificate (PEM, not encrypted).",
        expected="a PEM file, together with FMQ_WEBHOOK_CERT_FILE, or neither",
    )

    @field_validator("webhook_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("its host or port is invalid") from None
        if parts.scheme not in ("http", "https"):
            raise ValueError("it must start with https:// or http://")
        if not parts.hostname or port == 0:
            raise ValueError("it has no host" if port != 0 else "0 is not a port")
        if parts.fragment or not url.isprintable() or " " in url:
            raise ValueError("it has a part that is never sent")
        return url

    @field_validator("webhook_secret_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        parsed = _secret_headers(value)
        known = {name for name, _ in info.data.get("webhook_headers", ())}
        twice = known & {name for name, _ in parsed}
        if twice:
            raise ValueError(f"FMQ_WEBHOOK_HEADERS also has the header {min(twice)}")
        if urlsplit(info.data.get("webhook_url", "")).username and "authorization" in known | {n for n, _ in parsed}:
            raise ValueError("FMQ_WEBHOOK_URL has a user name, and the headers have Authorization: use only one")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _are_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not parse_secrets(value.get_secret_value()):
            raise ValueError("it is empty")
        return value

    @field_validator("webhook_ca_file", "webhook_cert_file")
    @classmethod
    def _are_of_use(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and not info.data.get("webhook_url", "https:").startswith("https:"):
            raise ValueError("FMQ_WEBHOOK_URL does not start with https://")
        return value

    @field_validator("webhook_key_file")
    @classmethod
    def _is_with_its_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "webhook_cert_file" in info.data:
            require_pair("FMQ_WEBHOOK", cert_file=info.data["webhook_cert_file"], key_file=value)
        return value

    @property
    def secret_headers(self) -> Headers:
        """The secret headers, as pairs."""
        return _secret_headers(self.webhook_secret_headers)

    @property
    def known(self) -> bool:
        """Whether requests identify their sender by a secret header, a signature or a certificate."""
        return any((self.webhook_secret_headers, self.webhook_secrets, self.webhook_cert_file))

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys to sign with."""
        return parse_secrets(self.webhook_secrets.get_secret_value()) if self.webhook_secrets else ()

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - any number of calls is fine
        """A delivery has to end before it is cancelled."""
        if not seconds or self.webhook_timeout < seconds:
            return ()
        timeout, limit = show(self.webhook_timeout, "seconds"), show(seconds, "seconds")
        return (f"FMQ_WEBHOOK_TIMEOUT={timeout}: calls end after FMQ_HANDLER_TIMEOUT={limit}; expected less than that",)


def _secret_headers(value: SecretStr | None) -> Headers:
    parsed = parse_headers(value.get_secret_value()) if value is not None else ()
    return parsed if isinstance(parsed, tuple) else ()
