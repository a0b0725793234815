"""``fmq web``: the command, and the order in which the web page starts and stops."""

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import NoReturn

import click
from prometheus_client import CollectorRegistry

from fmq.cli.help import SettingsGroup
from fmq.cli.main import EXIT_FAULT, begin_service, read_settings, run, settings_options
from fmq.clock import SYSTEM_CLOCK
from fmq.errors import QueueError
from fmq.service.config.exposure import log_config
from fmq.service.http.health import Heartbeat, serve_health
from fmq.service.lifecycle import Shutdown
from fmq.service.log import announce, configure
from fmq.service.reporting.collectors import show_process
from fmq.service.reporting.notify import Reporter, ServiceManager
from fmq.service.reporting.store_collector import StoreInfo
from fmq.service.threads import StopGuard, supervise_others
from fmq.text import without_password
from fmq_web.access.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD, PasswordHash
from fmq_web.access.role import Role
from fmq_web.access.tokens import new_token, show_digest
from fmq_web.access.users import check_name
from fmq_web.settings import WebSettings

_log = logging.getLogger("fmq_web")
_USUAL_PORT = 9467
_STORE_SECONDS = 5.0
_ROLE = click.Choice([Role.READ.value, Role.OPERATE.value])


@click.group(
    cls=SettingsGroup, invoke_without_command=True, short_help="Serve a web page to see and repair the queues."
)
@settings_options(WebSettings, but=("check_integrity",))
@click.pass_context
def web(context: click.Context, /, **flags: object) -> int:
    """Serve the web page: see and repair the queues.

    On loopback everyone may read until there is a password or a users' file; to change something, sign in. The store need not
    exist yet.
    """
    if context.invoked_subcommand is not None:
        return 0
    begin_service("web", flags)
    settings = read_settings(WebSettings, flags, strict=True)
    configure(service="web", level=settings.log_level, style=settings.log_format)
    log_config(settings.config)
    shutdown = Shutdown()
    shutdown.install()
    supervise_others(shutdown)
    return _serve(settings, shutdown)


def _serve(settings: WebSettings, shutdown: Shutdown) -> int:
    """Run the web page until ``shutdown``. Returns its exit code."""
    # Loaded here, since the commands below need none of them.
    from fmq_web.assembly import Web  # noqa: PLC0415 - see above
    from fmq_web.http.server import PageServer, bind  # noqa: PLC0415 - see above

    registry = CollectorRegistry()
    show_process(registry, service="web")
    heartbeat = Heartbeat()
    with ExitStack() as stack:
        stack.enter_context(StopGuard(shutdown, grace=settings.grace_seconds))
        bound = bind(settings.web_host, settings.web_port)
        stack.callback(bound.close)
        parts = Web(settings, SYSTEM_CLOCK, registry, stack)
        stores = parts.site.stores
        registry.register(StoreInfo(lambda: stores.submit(lambda store: store.identity()).result(_STORE_SECONDS)))
        url = _url(settings.web_host, bound.getsockname()[1])

        def notes() -> Mapping[str, str]:
            """A store that can't be read does not make the service unready: its pages say what is wrong."""
            try:
                stores.submit(lambda store: store.names()).result(_STORE_SECONDS)
            except (QueueError, TimeoutError) as error:
                return {"store": str(error) or "no answer"}
            return {}

        server = serve_health(
            settings,
            usual_port=_USUAL_PORT,
            registry=registry,
            heartbeat=heartbeat,
            ready=dict,
            notes=notes,
            shutdown=shutdown,
        )
        stack.callback(server.close)
        manager, grace = ServiceManager(os.environ), settings.grace_seconds
        reporter = Reporter(
            manager,
            heartbeat=heartbeat,
            shutdown=shutdown,
            grace=grace,
            status=lambda: f"serving the web page on {url}",
        )
        stack.enter_context(reporter).ready()
        store = without_password(settings.queue_url)
        announce(_log, f"Serving the web page on {url}", url=url, store=store, broker=settings.broker)
        PageServer(
            parts.app,
            shutdown=shutdown,
            heartbeat=heartbeat,
            each_second=parts.each_second,
            on_stop=parts.stop,
            grace=grace / 2,
        ).serve_on(bound)
    _log.info("Stopped")
    return EXIT_FAULT if shutdown.failure else 0


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return check_name(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@web.command()
@click.argument("name", callback=_name)
@click.option("--role", type=_ROLE, required=True, help="What the user may do.")
def user(name: str, role: str) -> int:
    """Print the line of a user for FMQ_WEB_USERS_FILE.

    Asks for the password, or reads it from standard input if that is not a terminal.
    """
    if sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise click.ClickException(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")
    click.echo(f"{name}:{role}:{PasswordHash.of(password)}")
    return 0


@web.command()
@click.argument("name", callback=_name)
@click.option("--role", type=_ROLE, required=True, help="What the program with the token may do.")
def token(name: str, role: str) -> int:
    """Print a new token, and on standard output its line for FMQ_WEB_USERS_FILE.

    The token appears once, on standard error; a program sends it as "Authorization: Bearer TOKEN".
    """
    made = new_token()
    click.echo(f"Token (it is shown only once): {made}", err=True)
    click.echo(f"{name}:{role}:{show_digest(made)}")
    return 0


def main() -> NoReturn:
    """The entry point of ``fmq-web``."""
    run(web)


if __name__ == "__main__":
    main()
