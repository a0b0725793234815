"""The built-in handlers, by the name that ``--handler`` takes.

A handler's package has its settings in a separate module, which is imported for the flags of ``fmq process`` and so imports
nothing beyond fmq and pydantic. The rest is imported when the handler is chosen.
"""

from collections.abc import Mapping

from fmq.service.settings import HandlerSettings
from fmq_processor.handlers.exec.settings import ExecSettings
from fmq_processor.handlers.file.settings import FileSettings
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_processor.handlers.queue.settings import QueueSettings
from fmq_processor.handlers.sql.settings import SqlSettings
from fmq_processor.handlers.webhook.settings import WebhookSettings

BUILTIN: Mapping[str, str] = {
    "exec": "fmq_processor.handlers.exec.handler:ExecHandler",
    "file": "fmq_processor.handlers.file.handler:FileHandler",
    "log": "fmq_processor.handlers.log:handle",
    "mqtt": "fmq_processor.handlers.mqtt.handler:MqttHandler",
    "queue": "fmq_processor.handlers.queue.handler:QueueHandler",
    "sql": "fmq_processor.handlers.sql.handler:SqlHandler",
    "webhook": "fmq_processor.handlers.webhook.handler:WebhookHandler",
}

SETTINGS: Mapping[str, type[HandlerSettings]] = {
    "exec": ExecSettings,
    "file": FileSettings,
    "mqtt": MqttSettings,
    "queue": QueueSettings,
    "sql": SqlSettings,
    "webhook": WebhookSettings,
}
"""The settings of handlers that have any. Each setting's name starts with the handler's name."""
