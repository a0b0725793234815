"""The settings of the handler ``queue``."""

from collections.abc import Sequence

from pydantic import field_validator

from fmq.errors import SettingsError
from fmq.quantities import show
from fmq.service.settings import HandlerSettings, setting, variable
from fmq.store.backends import same_store
from fmq_processor.handlers import placeholders

PLACEHOLDERS = ("queue",)


class QueueSettings(HandlerSettings):
    """Settings of the handler ``queue``."""

    queue_target_url: str = setting(
        "",
        about="URL of the target store. Other processors handle its messages.",
        expected="the URL of another store, such as sqlite:////srv/centre/mqtt_queue.db",
    )
    queue_target_name: str = setting(
        "{queue}",
        about="Queue in the target store, created if it does not exist. {queue} is replaced by the name of the message's queue.",
        expected="{queue}, or a name such as edge-7/{queue}",
        min_length=1,
    )
    queue_target_busy_seconds: float = setting(
        10.0,
        about="Time to wait for another writer of the target store. Must be less than FMQ_HANDLER_TIMEOUT.",
        unit="seconds",
        expected="a time above 0, such as 10s",
        gt=0,
        le=3600,
    )

    queue_target_duplicate_seconds: float = setting(
        86_400.0,
        about="Time for which a message that is sent again is not stored again in the target; 0 stores it again.",
        unit="seconds",
        expected="a time, 0 or more, such as 1d",
        ge=0,
    )

    @field_validator("queue_target_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        if not url:
            raise ValueError("it is empty")
        return url

    @field_validator("queue_target_name")
    @classmethod
    def _has_known_placeholders(cls, name: str) -> str:
        placeholders.check(name, PLACEHOLDERS)
        return name

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - as the base class has them
        """A wait for the target that is longer than the call: it might still succeed, and its messages come again."""
        if not seconds or self.queue_target_busy_seconds < seconds:
            return ()
        name = variable("queue_target_busy_seconds")
        mine, theirs = show(self.queue_target_busy_seconds, "seconds"), show(seconds, "seconds")
        return [f"{name}={mine}: expected less than FMQ_HANDLER_TIMEOUT ({theirs})"]

    def conflicts(self, *, queue_url: str, queues: Sequence[str]) -> Sequence[str]:
        """A target whose messages would come back to this processor."""
        try:
            if not same_store(self.queue_target_url, queue_url):
                return ()
        except SettingsError as error:
            return [str(error)]
        back = [queue for queue in queues if self.target_name(queue) in queues]
        if queues and not back:
            return ()
        what = f"its queue {back[0]!r} would be" if back else "every queue would be"
        problem = (
            f"{variable('queue_target_url')}={self.queue_target_url!r}: this is the processor's own store, and {what} moved "
            "to a queue that it serves itself; expected the URL of another store, or FMQ_TOPICS without the target's queues"
        )
        return [problem]

    def target_name(self, queue: str) -> str:
        """The target queue of ``queue``."""
        return placeholders.fill(self.queue_target_name, {"queue": queue})
