"""The built-in handlers, by the name that ``--handler`` takes.

A handler's package has its settings in a module of their own, which is imported for the flags of ``fmq process`` and
so imports nothing beyond fmq and pydantic. The rest of it is imported when it is chosen.
"""

from collections.abc import Mapping

from fmq.settings import HandlerSettings
from fmq_processor.handlers.exec.settings import ExecSettings
from fmq_processor.handlers.file.settings import FileSettings
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_processor.handlers.queue.settings import QueueSettings
from fmq_processor.handlers.sql.settings import SqlSettings

BUILTIN: Mapping[str, str] = {
    "exec": "fmq_processor.handlers.exec.handler:ExecHandler",
    "file": "fmq_processor.handlers.file.handler:FileHandler",
    "log": "fmq_processor.handlers.log:handle",
    "mqtt": "fmq_processor.handlers.mqtt.handler:MqttHandler",
    "queue": "fmq_processor.handlers.queue.handler:QueueHandler",
    "sql": "fmq_processor.handlers.sql.handler:SqlHandler",
}

SETTINGS: Mapping[str, type[HandlerSettings]] = {
    "exec": ExecSettings,
    "file": FileSettings,
    "mqtt": MqttSettings,
    "queue": QueueSettings,
    "sql": SqlSettings,
}
"""The settings of those that have any. The name of each setting begins with the handler's."""
