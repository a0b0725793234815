"""Finding a broker, or starting one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fmq.errors import SettingsError
from fmq.service.broker.settings import BrokerSettings
from fmq.service.broker.url import BrokerUrl
from fmq_demo.client import require_broker
from fmq_demo.processes import Crew, accepts_connections, free_port

_START_SECONDS = 20.0
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/local/opt/mosquitto/sbin")
"""Where mosquitto is put that a user's PATH may lack."""


class Kind(StrEnum):
    """Which broker to use; auto is the first of the others that there is."""

    AUTO = "auto"
    GIVEN = "given"
    MOSQUITTO = "mosquitto"
    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that takes connections. ``own``: it was started by the demo, and ends with it."""

    name: str
    settings: BrokerSettings
    own: bool

    @property
    def address(self) -> BrokerUrl:
        return self.settings.broker


def is_given(settings: BrokerSettings) -> bool:
    """Whether the user named a broker; the default of the setting is none that the demo may use unasked."""
    return "broker_url" in settings.model_fields_set


def find_mosquitto() -> Path | None:
    """The installed mosquitto, if there is one."""
    found = shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_FOLDERS)))
    return Path(found) if found else None


def provide_broker(
    kind: Kind, settings: BrokerSettings, crew: Crew, folder: Path, *, stop: Callable[[], bool]
) -> Broker:
    """The broker to use, started if need be.

    Raises SettingsError if ``kind`` is not to be had, and BrokerUnreachable if the given one does not take us.
    """
    mosquitto = find_mosquitto()
    if kind is Kind.AUTO:
        kind = Kind.GIVEN if is_given(settings) else Kind.MOSQUITTO if mosquitto else Kind.EMBEDDED
    match kind:
        case Kind.GIVEN:
            if not is_given(settings):
                raise SettingsError("--broker given needs FMQ_BROKER_URL, such as mqtt://127.0.0.1:1883")
            require_broker(settings)
            return Broker("the broker", settings, own=False)
        case Kind.MOSQUITTO:
            if mosquitto is None:
                raise SettingsError("mosquitto is not installed: leave --broker out for the embedded broker")
            return _start_mosquitto(mosquitto, settings.mqtt_version, crew, folder, stop)
        case _:
            return _start_embedded(crew, stop)


def _start_mosquitto(program: Path, mqtt_version: str, crew: Crew, folder: Path, stop: Callable[[], bool]) -> Broker:
    port = free_port()
    state = folder / "mosquitto"
    state.mkdir()
    config = folder / "mosquitto.conf"
    config.write_text(mosquitto_config(port, state), encoding="utf-8")
    crew.start("mosquitto", [program, "-c", config], os.environ)
    crew.wait_until(
        lambda: accepts_connections(port), what="mosquitto to take connections", seconds=_START_SECONDS, stop=stop
    )
    return Broker(f"Mosquitto {_version(program)}", _own(port, mqtt_version), own=True)


def mosquitto_config(port: int, state: Path) -> str:
    """A configuration for one machine's loopback, with limits that a listener which was away needs."""
    return "\n".join(
        (
            f"listener {port} 127.0.0.1",
            "allow_anonymous true",
            "user root",  # counts only when root starts it: the demo's folder belongs to the user who runs it
            "persistence true",
            f"persistence_location {state}/",
            "autosave_interval 5",
            "max_inflight_messages 1000",
            "max_queued_messages 1000000",
            "max_packet_size 67000000",
            "log_dest stderr",
            "",
        )
    )


def _start_embedded(crew: Crew, stop: Callable[[], bool]) -> Broker:
    port = free_port()
    crew.start("broker", [sys.executable, "-m", "fmq_demo.embedded", str(port)], os.environ)
    crew.wait_until(
        lambda: accepts_connections(port),
        what="the embedded broker to take connections",
        seconds=_START_SECONDS,
        stop=stop,
    )
    return Broker("an embedded broker (amqtt)", _own(port, "3.1.1"), own=True)


def _own(port: int, version: str) -> BrokerSettings:
    return BrokerSettings.model_validate({"broker_url": f"mqtt://127.0.0.1:{port}", "mqtt_version": version})


def _version(program: Path) -> str:
    told = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return told.split("\n", 1)[0].removeprefix("mosquitto version ").strip()
