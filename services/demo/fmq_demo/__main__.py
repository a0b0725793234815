"""The command ``fmq demo``."""

import signal
import tempfile
from pathlib import Path

import click

from fmq.cli.common.numbers import Rate
from fmq.cli.help import SettingsCommand
from fmq.cli.main import EXIT_FAULT, read_settings, run, settings_options
from fmq.errors import SettingsError
from fmq.service.broker.settings import BrokerSettings
from fmq.service.lifecycle import Shutdown
from fmq.service.settings import StoreSettings
from fmq_demo.broker import Kind
from fmq_demo.demonstration import Plan, demonstrate
from fmq_demo.only_publish import publish_only
from fmq_demo.processes import Stopped
from fmq_demo.screen import make_console

_SECONDS_WITHOUT_TERMINAL = 10.0


@click.command(cls=SettingsCommand, short_help="Show everything at work, with simulated sensors.")
@click.option(
    "--rate",
    default=300.0,
    show_default=True,
    type=Rate(100_000),
    help="Readings published a second.",
)
@click.option(
    "--for",
    "seconds",
    type=Rate(),
    help="Seconds to publish. Default: until Ctrl-C in a terminal, otherwise 10 s.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep database and logs in this folder. Without it: in a new temporary one, which is kept too.",
)
@click.option(
    "--broker",
    "kind",
    default=Kind.AUTO.value,
    show_default=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="given: the one at FMQ_BROKER_URL; auto: that one if it is set, else mosquitto if it is installed, else the embedded one.",
)
@click.option(
    "--publish-only", "only", is_flag=True, help="Only publish, to the broker at FMQ_BROKER_URL, until stopped."
)
@settings_options(BrokerSettings, but=tuple(StoreSettings.model_fields))
def demo(*, rate: float, seconds: float | None, data: Path | None, kind: str, only: bool, **flags: object) -> int:
    """Show the whole system at work: a broker, a listener, two processors, and simulated sensors.

    Exit code 0 only if every message that the broker acknowledged was stored, and every stored one was processed or is
    a dead letter.
    """
    settings = read_settings(BrokerSettings, flags)
    console = make_console()
    stop = Shutdown()
    stop.install()
    signal.signal(signal.SIGHUP, lambda *_: stop.request())  # the terminal was closed
    if only:
        return 0 if publish_only(settings, console, stop, rate=rate, seconds=seconds) else EXIT_FAULT
    if seconds is None and not console.is_terminal:
        seconds = _SECONDS_WITHOUT_TERMINAL
    plan = Plan(Kind(kind), rate, seconds, _folder(data))
    try:
        return 0 if demonstrate(plan, settings, console, stop) else EXIT_FAULT
    except Stopped:
        raise click.Abort from None


def _folder(wanted: Path | None) -> Path:
    """The folder for the data. Raises SettingsError if it has some already."""
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="fmq-demo-"))
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--data {wanted}: {error.strerror}") from error
    if any(wanted.iterdir()):
        raise SettingsError(
            f"--data {wanted}: the folder is not empty. Use a new folder, so that the counts belong to this demo"
        )
    return wanted.resolve()


def main() -> None:
    """Run it as a program."""
    run(demo)


if __name__ == "__main__":
    main()
