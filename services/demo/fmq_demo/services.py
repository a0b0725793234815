"""The real services, as the demo starts them."""

import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import SecretStr

from fmq.service.broker.settings import BrokerSettings
from fmq.service.settings import PREFIX, StoreSettings, variable
from fmq_demo.broker import Broker
from fmq_demo.meter import is_ready
from fmq_demo.processes import Crew, free_port

_START_SECONDS = 30.0
_PROCESSORS = 2


@dataclass(frozen=True, slots=True)
class Services:
    """What runs, by name, with the ports of /metrics."""

    listener: tuple[str, int]
    processors: tuple[tuple[str, int], ...]
    web: tuple[str, int]
    page: str
    """The URL of the web page, whose user is operator."""
    password: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in (self.listener, *self.processors, self.web))


def start_services(
    crew: Crew,
    broker: Broker,
    topics: Sequence[str],
    *,
    queue_url: str,
    client_id: str,
    stop: Callable[[], bool],
) -> Services:
    """Start a listener, then the processors and the web page, and wait until all are ready."""

    def start(name: str, module: str, arguments: Sequence[str], own: Mapping[str, str]) -> tuple[str, int]:
        port = free_port()
        environ = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        environ["FMQ_CONFIG"] = os.devnull  # not the configuration file that may be here
        environ |= {"FMQ_QUEUE_URL": queue_url, "FMQ_LOG_FORMAT": "text", "FMQ_HTTP_PORT": str(port), **own}
        crew.start(name, [sys.executable, "-m", module, *arguments], environ)
        return name, port

    def wait_for(services: Sequence[tuple[str, int]]) -> None:
        for name, port in services:
            crew.wait_until(partial(is_ready, port), what=f"{name} to be ready", seconds=_START_SECONDS, stop=stop)

    reach = _broker(broker.settings)
    listener = start("listener", "fmq_listener", topics, {**reach, **_listener(client_id)})
    wait_for([listener])
    processors = [
        start(f"processor-{number}", "fmq_processor", [], _processor(topics)) for number in range(1, _PROCESSORS + 1)
    ]
    page_port, password = free_port(), secrets.token_urlsafe(9)
    web = start("web", "fmq_web", [], {**reach, "FMQ_WEB_PORT": str(page_port), "FMQ_WEB_PASSWORD": password})
    wait_for([*processors, web])
    return Services(listener, tuple(processors), web, f"http://127.0.0.1:{page_port}/", password)


def _broker(settings: BrokerSettings) -> dict[str, str]:
    """The variables that lead a service to the same broker."""
    found = {}
    for name in type(settings).model_fields.keys() - StoreSettings.model_fields.keys():
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(value)
        if value:
            found[variable(name)] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return found


def _listener(client_id: str) -> dict[str, str]:
    return {
        "FMQ_CLIENT_ID": client_id,
        "FMQ_SESSION_EXPIRY_SECONDS": "3600",
        "FMQ_RETENTION_SECONDS": "forever",  # or the summary could not count what is done
    }


def _processor(topics: Sequence[str]) -> dict[str, str]:
    return {
        "FMQ_TOPICS": ",".join(topics),
        "FMQ_HANDLER": "fmq_demo.handler:handle",
        "FMQ_BATCH": "50",
        "FMQ_BACKOFF_INITIAL": "0.5",
        "FMQ_BACKOFF_MAXIMUM": "5",
    }
