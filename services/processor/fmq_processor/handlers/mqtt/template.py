"""The topic that a message is forwarded to, made from the one that it came on."""

import re
from collections.abc import Callable, Sequence

from fmq.message import Message
from fmq.outcome import Reject

_PLACE = re.compile(r"\{([^{}]*)\}")
_LONGEST = 65_535
_Part = Callable[[Message], str]


class Template:
    """Text with ``{topic}``, ``{queue}`` and ``{1}``, ``{2}``… for the levels of the topic, counted from 1."""

    def __init__(self, text: str) -> None:
        """Raises ValueError with what is wrong."""
        literal = _PLACE.sub("", text)
        if "{" in literal or "}" in literal:
            raise ValueError("it has a brace without its other one")
        _require_topic(literal or "x")
        parts = _PLACE.split(text)  # text, name, text, name, … text
        self._parts: Sequence[_Part] = [
            _place(part) if index % 2 else _literal(part) for index, part in enumerate(parts) if index % 2 or part
        ]
        if not self._parts:
            raise ValueError("a topic can't be empty")
        self.keeps_topic = text == "{topic}"

    def topic(self, message: Message) -> str:
        """The topic for ``message``. Raises Reject if none can be made."""
        topic = "".join(part(message) for part in self._parts)
        try:
            _require_topic(topic)
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
    if re.fullmatch("[1-9][0-9]*", name):
        number = int(name)
        return lambda message: _level(message.topic, number)
    raise ValueError(f"{{{name}}} is none of {{topic}}, {{queue}}, {{1}}, {{2}}…")


def _level(topic: str, number: int) -> str:
    levels = topic.split("/")
    if number > len(levels):
        raise Reject(f"the topic can't be made: {topic[:200]!r} has no level {number}")
    return levels[number - 1]


def _require_topic(topic: str) -> None:
    """What a topic may not be (MQTT 5, section 4.7.3)."""
    if not topic:
        raise ValueError("it would be empty")
    for character, what in (("+", "the wildcard +"), ("#", "the wildcard #"), ("\0", "a NUL character")):
        if character in topic:
            raise ValueError(f"{topic[:200]!r} has {what} in it")
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        raise ValueError("it is no valid UTF-8") from None
    if size > _LONGEST:
        raise ValueError(f"{size} bytes are too long: {_LONGEST} is the most")
