"""`fmq health`: ask a running service how it is. For container health checks, in place of curl."""

import json
import urllib.error
import urllib.request

import click

from fmq.errors import FmqError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--port", envvar="FMQ_HTTP_PORT", type=click.IntRange(1, 65535), required=True, help="The service's HTTP port."
)
@click.option(
    "--ready", is_flag=True, help="Ask whether it is ready (/readyz), not only whether it is alive (/healthz)."
)
@click.option("--timeout", default=5.0, show_default=True, help="Seconds to wait for the answer.")
def health(port: int, *, ready: bool, timeout: float) -> None:
    """Exit 0 if the service on this machine is well, else 1 with what is wrong."""
    url = f"http://127.0.0.1:{port}/{'readyz' if ready else 'healthz'}"
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            click.echo(answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        checks = json.loads(error.read())["checks"]
        wrong = "; ".join(f"{name}: {what}" for name, what in checks.items() if what != "ok")
        raise FmqError(f"not well: {wrong}") from error
    except OSError as error:
        raise FmqError(f"no answer from {url}: {error}") from error
