"""The target topic of a message, made from its own topic."""

from collections.abc import Callable, Sequence

from fmq.message import Message
from fmq.outcome import Reject
from fmq.topics import require_topic
from fmq_processor.handlers import placeholders

_LEVEL = "[1-9][0-9]*"
_Part = Callable[[Message], str]


class Template:
    """Text with ``{topic}``, ``{queue}`` and ``{1}``, ``{2}``… for the levels of the topic, counted from 1."""

    def __init__(self, text: str) -> None:
        """Raises ValueError with the reason."""
        placeholders.check(text, ("topic", "queue", "1", "2"), more=_LEVEL)
        require_topic(placeholders.without_placeholders(text) or "x")
        self._parts: Sequence[_Part] = [
            _place(part) if is_name else _literal(part) for part, is_name in placeholders.parts(text)
        ]
        if not self._parts:
            raise ValueError("a topic can't be empty")
        self._only = self._parts[0] if len(self._parts) == 1 else None

    def topic(self, message: Message) -> str:
        """The topic for ``message``. Raises Reject if it is invalid."""
        topic = self._only(message) if self._only else "".join([part(message) for part in self._parts])
        try:
            require_topic(topic)
        except ValueError as error:
            raise Reject(f"the topic can't be made: {error}") from error
        return topic


def _literal(text: str) -> _Part:
    return lambda _: text


def _place(name: str) -> _Part:
    if name == "topic":
        return lambda message: message.topic
    if name == "queue":
        return lambda message: message.queue
    number = int(name)
    return lambda message: _level(message.topic, number)


def _level(topic: str, number: int) -> str:
    levels = topic.split("/")
    if number > len(levels):
        raise Reject(f"the topic can't be made: {topic[:200]!r} has no level {number}")
    return levels[number - 1]
