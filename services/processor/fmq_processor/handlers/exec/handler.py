"""The handler ``exec``."""

import asyncio
import os
import signal
from typing import ClassVar

from prometheus_client import CollectorRegistry

from fmq.message import Message
from fmq.message_json import message_json
from fmq.outcome import Reject, Retry, Unavailable
from fmq.service.settings import HandlerSettings
from fmq_processor.handlers.exec.command import Ending, run
from fmq_processor.handlers.exec.environment import environment
from fmq_processor.handlers.exec.metrics import ExecMetrics
from fmq_processor.handlers.exec.settings import ExecSettings

# sysexits.h (BSD 4.0), in os on every Unix
_UNAVAILABLE = os.EX_UNAVAILABLE  # 69: "a support program or file does not exist"
_TEMPORARY_FAILURE = os.EX_TEMPFAIL  # 75: "temporary failure; user is invited to retry"


class ExecHandler:
    """Runs the command for each message. The exit code decides the outcome."""

    Settings: ClassVar[type[HandlerSettings]] = ExecSettings

    def __init__(self, settings: ExecSettings, registry: CollectorRegistry) -> None:
        self._words = settings.words
        self._as_json = settings.exec_input == "json"
        self._failure_is_final = settings.exec_on_failure == "dead"
        self._metrics = ExecMetrics(registry)
        self._passed_on = {
            os.fsencode(name): os.environb[os.fsencode(name)]
            for name in settings.exec_environment
            if os.fsencode(name) in os.environb
        }

    async def handle(self, message: Message) -> None:
        """Done at exit code 0. Raises Retry, Unavailable, Reject."""
        data = message_json(message).encode("ascii") if self._as_json else message.payload
        try:
            with self._metrics.running.track_inprogress():
                ending = await run(self._words, data, environment(message, self._passed_on))
        except OSError as error:
            self._count("not_started")
            raise Unavailable(reason=f"the command can't be started: {error}") from error
        except asyncio.CancelledError:
            self._count("stopped")
            raise
        self._judge(ending)

    def _judge(self, ending: Ending) -> None:
        reason = _describe(ending)
        if ending.code == os.EX_OK:
            self._count("done")
        elif ending.code == _TEMPORARY_FAILURE:
            self._count("retry")
            raise Retry(reason=reason)
        elif ending.code == _UNAVAILABLE:
            self._count("unavailable")
            raise Unavailable(reason=reason)
        elif ending.code < 0:  # out of memory, or an operator: no verdict of the command's on the message
            self._count("signal")
            raise Retry(reason=reason)
        else:
            self._count("failed")
            raise Reject(reason) if self._failure_is_final else Retry(reason=reason)

    def _count(self, ending: str) -> None:
        self._metrics.commands.labels(ending).inc()


def _describe(ending: Ending) -> str:
    """The last line of standard error comes first: lists show only the first line of a reason."""
    how = f"exit code {ending.code}" if ending.code >= 0 else f"killed by {signal.Signals(-ending.code).name}"
    *before, last = ending.last_words.split("\n")
    return "\n".join([f"{how}: {last}" if last else how, *before])
