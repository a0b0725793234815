"""``fmq process``: the command."""

import logging
import os
from typing import NoReturn

import click

from fmq.cli.common.parameters import SPAN
from fmq.cli.main import begin_service, exit_code, run, settings_options
from fmq.service.config.exposure import log_config
from fmq.service.lifecycle import Shutdown
from fmq.service.log import configure, shorten
from fmq.service.threads import limit_exit, supervise_others
from fmq_processor.handler_loading import handler_options
from fmq_processor.help import ProcessCommand
from fmq_processor.reloading import arguments_without_reload, serve_reloading
from fmq_processor.routes import load_routes
from fmq_processor.runners.current import current_fields
from fmq_processor.serving import serve
from fmq_processor.settings import ProcessorSettings

_log = logging.getLogger(__name__)
_CALLED = {"topics": "TOPIC", "batch": "BATCH", "sleep": "SLEEP"}


@click.command("process", cls=ProcessCommand, short_help="Pass queued messages to a handler.")
@click.argument("topic", required=False, metavar="[TOPIC")
@click.argument("batch_argument", required=False, metavar="[BATCH")
@click.argument("sleep_argument", required=False, metavar="[SLEEP]]]")
@click.option(
    "--drain",
    is_flag=True,
    help="End when no message is due, for cron and CI. Messages that wait for a retry are left for the next run. Exit code 8 if due "
    "messages are left, if no route takes some, if messages died, or if a queue does not exist.",
)
@click.option(
    "--drain-wait",
    type=SPAN,
    help="With --drain, longest wait for retries, delayed messages and a handler's target that is down, such as 5m, counted from the "
    "last handled message. Default: 0.",
)
@click.option(
    "--reload",
    is_flag=True,
    help="For development: start again when a Python file in the working directory or the file of settings changes.",
)
@settings_options(ProcessorSettings)
@handler_options
def process(
    topic: str | None,
    batch_argument: str | None,
    sleep_argument: str | None,
    *,
    drain: bool,
    drain_wait: float | None,
    reload: bool,
    **flags: object,
) -> int:
    """Pass queued messages to a handler, BATCH at a time.

    TOPIC is a topic filter as given to the listener. Without it, fmq serves the queues in FMQ_TOPICS, or all queues, in turn.
    SLEEP is the longest wait of an idle processor, in seconds.
    """
    arguments = {"topics": topic and (topic,), "batch": batch_argument, "sleep": sleep_argument}
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in given:
        if flags.get(name) is not None:
            raise click.UsageError(f"--{name} is given twice, as a flag and as an argument")
    if drain_wait is not None and not drain:
        raise click.UsageError("--drain-wait has an effect only with --drain")
    begin_service("processor", flags)
    called = {name: _CALLED[name] for name in given}
    if reload:
        return serve_reloading(arguments_without_reload(), flags.get("config"), ends=drain)
    settings, routes = load_routes({**flags, **given}, os.environ, arguments=called, before_import=_configure_log)
    shutdown = Shutdown()
    shutdown.install()
    supervise_others(shutdown)
    try:
        code = serve(settings, routes, shutdown, patience=(drain_wait or 0.0) if drain else None)
    except BaseException as error:
        limit_exit(exit_code(error))
        raise
    limit_exit(code)
    return code


def _configure_log(settings: ProcessorSettings) -> None:
    configure(
        service="processor",
        level=settings.log_level,
        style=settings.log_format,
        subject=shorten(",".join(settings.queues)),
        context=current_fields,
    )
    log_config(settings.config)


def main() -> NoReturn:
    """The entry point of ``fmq-process``."""
    run(process)


if __name__ == "__main__":
    main()
