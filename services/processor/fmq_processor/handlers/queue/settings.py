"""The settings of the handler ``queue``."""

from collections.abc import Sequence

from pydantic import field_validator

from fmq.errors import SettingsError
from fmq.queue import same_store
from fmq.settings import HandlerSettings, setting, variable
from fmq_processor.handlers import placeholders

PLACEHOLDERS = ("queue",)


class QueueSettings(HandlerSettings):
    """Which store, and which queue of it."""

    queue_target_url: str = setting(
        "",
        about="The store that messages are handed over to; a listener or processor of its own works on it.",
        right="the URL of another store, such as sqlite:////srv/centre/mqtt_queue.db",
    )
    queue_target_name: str = setting(
        "{queue}",
        about="The queue there, made if there is none. {queue} stands for the name of the message's queue here.",
        right="{queue}, or a name such as edge-7/{queue}",
        min_length=1,
    )
    queue_target_busy_seconds: float = setting(
        10.0,
        about="How long to wait for another writer of the target store; less than FMQ_HANDLER_TIMEOUT.",
        right="seconds above 0, such as 10",
        gt=0,
        le=3600,
    )

    @field_validator("queue_target_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        if not url:
            raise ValueError("no store is named")
        return url

    @field_validator("queue_target_name")
    @classmethod
    def _has_known_placeholders(cls, name: str) -> str:
        placeholders.check(name, PLACEHOLDERS)
        return name

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - as the base class has them
        """A wait for the target that outlasts the call: it would succeed after all, and its messages come again."""
        if not seconds or self.queue_target_busy_seconds < seconds:
            return ()
        name = variable("queue_target_busy_seconds")
        return [f"{name}={self.queue_target_busy_seconds:g}: it would be less than FMQ_HANDLER_TIMEOUT ({seconds:g})"]

    def conflicts(self, *, queue_url: str, queues: Sequence[str]) -> Sequence[str]:
        """A hand-over that would come back to the processor itself."""
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
            f"{variable('queue_target_url')}={self.queue_target_url!r}: it is the processor's own store, and {what} handed over "
            "to one that it serves itself; it would be the URL of another store, or name FMQ_TOPICS without the target's queues"
        )
        return [problem]

    def target_name(self, queue: str) -> str:
        """The queue there of the queue ``queue`` here."""
        return placeholders.fill(self.queue_target_name, {"queue": queue})
