"""`fmq health`: asks a running service for its health. For container health checks, in place of curl."""

import json
from http.client import HTTPConnection, HTTPException

import click

from fmq.cli.common.json_output import print_shape
from fmq.cli.common.parameters import PORT
from fmq.cli.common.shapes import HealthShape
from fmq.cli.help import SettingsCommand
from fmq.errors import FmqError

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what a service listens on
_WELL = 200


@click.command(cls=SettingsCommand, short_help="Ask a running service for its health.")
@click.option(
    "--host",
    envvar="FMQ_HTTP_HOST",
    default="127.0.0.1",
    show_default=True,
    help="Address of the service's HTTP server. Also read from FMQ_HTTP_HOST.",
)
@click.option(
    "--port",
    envvar="FMQ_HTTP_PORT",
    type=PORT,
    help="Port of the service's HTTP server. Required.",
)
@click.option("--ready", is_flag=True, help="Check readiness (/readyz) instead of liveness (/healthz).")
@click.option("--timeout", default=5.0, show_default=True, help="Seconds to wait for an answer.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json), also if it is unhealthy."
)
def health(host: str, port: int | None, *, ready: bool, timeout: float, as_json: bool) -> None:
    """Exit 0 if the service on this machine is healthy. Otherwise say what is wrong and exit 1. Ignores proxy variables."""
    if port is None:
        raise click.UsageError(
            "Give --port, or set FMQ_HTTP_PORT. Usual ports: 9464 of a listener, 9465 of a processor, 9467 of the web page"
        )
    host = _ANY_ADDRESS.get(host, host)
    path = "/readyz" if ready else "/healthz"
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
    # Not urllib.request: it would ask the proxy that http_proxy names.
    connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        status, body = answer.status, answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise FmqError(
            f"no answer from {url}: {why}. Does the service run, and is --port its FMQ_HTTP_PORT?"
        ) from error
    finally:
        connection.close()
    try:
        answered = json.loads(body)
        checks, notes = dict(answered["checks"]), dict(answered.get("notes", {}))
    except (ValueError, KeyError, TypeError):
        raise FmqError(f"{url} answered {status} and is not an fmq service: check --port") from None
    if as_json:
        print_shape(HealthShape("ok" if status == _WELL else "failing", checks, notes))
    if status != _WELL:
        wrong = "; ".join(f"{name}: {what}" for name, what in checks.items() if what != "ok")
        raise FmqError(f"unhealthy: {wrong}")
    if not as_json:
        click.echo(body)
