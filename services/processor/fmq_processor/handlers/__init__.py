"""The built-in handlers, by the name that ``--handler`` takes.

A handler's package has its settings in a module of their own, which is imported for the flags of ``fmq process`` and
so imports nothing beyond fmq and pydantic. The rest of it is imported when it is chosen.
"""

from collections.abc import Mapping

from fmq.settings import HandlerSettings

BUILTIN: Mapping[str, str] = {
    "log": "fmq_processor.handlers.log:handle",
}

SETTINGS: Mapping[str, type[HandlerSettings]] = {}
"""The settings of those that have any. The name of each setting begins with the handler's."""
