"""The built-in handlers, by the name that ``--handler`` takes.

A handler's package has its settings in a module of their own, which is imported for the flags of ``fmq process`` and
so imports nothing beyond fmq and pydantic. The rest of it is imported when it is chosen.
"""

from collections.abc import Mapping

from fmq.settings import HandlerSettings
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_processor.handlers.sql.settings import SqlSettings
from fmq_processor.handlers.webhook.settings import WebhookSettings

BUILTIN: Mapping[str, str] = {
    "log": "fmq_processor.handlers.log:handle",
    "mqtt": "fmq_processor.handlers.mqtt.handler:MqttHandler",
    "sql": "fmq_processor.handlers.sql.handler:SqlHandler",
    "webhook": "fmq_processor.handlers.webhook.handler:WebhookHandler",
}

SETTINGS: Mapping[str, type[HandlerSettings]] = {
    "mqtt": MqttSettings,
    "sql": SqlSettings,
    "webhook": WebhookSettings,
}
"""The settings of those that have any. The name of each setting begins with the handler's."""
