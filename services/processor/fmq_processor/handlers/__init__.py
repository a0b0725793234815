"""The built-in handlers, by the name that ``--handler`` takes.

A handler's package has its settings in a module of their own, which is imported for the flags of ``fmq process`` and
so imports nothing beyond fmq and pydantic. The rest of it is imported when it is chosen.
"""

from collections.abc import Mapping

from fmq.settings import HandlerSettings
from fmq_processor.handlers.exec.settings import ExecSettings
from fmq_processor.handlers.file.settings import FileSettings
from fmq_processor.handlers.queue.settings import QueueSettings
from fmq_processor.handlers.webhook.settings import WebhookSettings

BUILTIN: Mapping[str, str] = {
    "exec": "fmq_processor.handlers.exec.handler:ExecHandler",
    "file": "fmq_processor.handlers.file.handler:FileHandler",
    "log": "fmq_processor.handlers.log:handle",
    "queue": "fmq_processor.handlers.queue.handler:QueueHandler",
    "webhook": "fmq_processor.handlers.webhook.handler:WebhookHandler",
}

SETTINGS: Mapping[str, type[HandlerSettings]] = {
    "exec": ExecSettings,
    "file": FileSettings,
    "queue": QueueSettings,
    "webhook": WebhookSettings,
}
"""The settings of those that have any. The name of each setting begins with the handler's."""
