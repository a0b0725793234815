"""Selects the messages that reach the handler, as ``FMQ_FILTER`` says.

The expression is JMESPath (https://jmespath.org/specification.html), evaluated on an object with the fields in ``FIELDS``.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature

from fmq.message import Message
from fmq.topics import matches

FIELDS: Mapping[str, Callable[[Message], Any]] = {
    "queue": lambda message: message.queue,
    "topic": lambda message: message.topic,
    "levels": lambda message: message.topic.split("/"),
    "qos": lambda message: message.qos,
    "retain": lambda message: message.retain,
    "content_type": lambda message: message.properties.content_type,
    "user": lambda message: dict(reversed(message.properties.user_properties)),
}
_BODY = "body"
_FALSE: tuple[object, ...] = (None, "", [], {})
_FIRST_ONLY = {
    "subexpression",
    "index_expression",
    "projection",
    "value_projection",
    "filter_projection",
    "flatten",
    "pipe",
}
"""Nodes whose first child is evaluated on their own input, and the others on its result."""


def _explain(error: JMESPathError) -> str:
    """What is wrong and where, in one line: jmespath draws an arrow under the expression."""
    what = str(error).partition("\n")[0].partition(": ")[2].rstrip(":") or "it can't be parsed"
    at = getattr(error, "lex_position", None)
    hint = " (equal is ==)" if getattr(error, "token_value", None) == "=" else ""
    if getattr(error, "token_type", None) == "NUMBER":
        hint = f" (numbers are in backticks: `{error.token_value}`)"  # type: ignore[attr-defined]  # of a ParseError
    return f"{what}{hint}" if at is None else f"{what} at character {at + 1}{hint}"


class Unfilterable(Exception):
    """The expression fails on this message. The text says why."""


class Filter:
    """A compiled expression. ``needs_body``: it uses the decoded payload."""

    def __init__(self, expression: str) -> None:
        """Raises ValueError that says what is wrong with the expression."""
        try:
            self._compiled = jmespath.compile(expression)
        except JMESPathError as error:
            raise ValueError(f"not a JMESPath expression: {_explain(error)}") from None
        tree = self._compiled.parsed
        asked = set(_asked(tree))
        self.needs_body = _BODY in asked
        unknown = sorted(asked - set(FIELDS) - {_BODY})
        if unknown:
            hint = f"text is in single quotes: '{unknown[0]}'; " if f'"{unknown[0]}"' in expression else ""
            raise ValueError(f"unknown field {unknown[0]!r}; {hint}fields are {', '.join((_BODY, *FIELDS))}")
        no_functions = sorted(set(_functions(tree)) - set(_Functions.FUNCTION_TABLE))
        if no_functions:
            raise ValueError(f"unknown function {no_functions[0]!r}")

    def admits(self, message: Message, body: Callable[[], Any]) -> bool:
        """Whether the expression is true as JMESPath sees it: neither null, false nor empty.

        ``body`` is called only if the expression uses it; its exceptions are passed on. Raises Unfilterable.
        """
        try:
            answer = self._compiled.search(_Asked(message, body), options=_OPTIONS)
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise Unfilterable(f"the filter failed: {' '.join(str(error).split())}") from None
        return answer is not False and answer not in _FALSE


class _Asked:
    """The object that an expression is evaluated on. JMESPath calls only ``get``, so nothing is computed without need."""

    def __init__(self, message: Message, body: Callable[[], Any]) -> None:
        self._message = message
        self._body = body

    def get(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        return self._body() if name == _BODY else FIELDS[name](self._message)


class _Functions(Functions):
    """JMESPath's own, and ``topic_matches(topic, 'sensors/+/temp')``."""

    @signature({"types": ["string"]}, {"types": ["string"]})
    def _func_topic_matches(self, topic: str, topic_filter: str) -> bool:
        return matches(topic_filter.split("/"), topic)


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def _asked(node: Mapping[str, Any]) -> Iterator[str]:
    """The fields of the message itself that the expression uses."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield node["value"]
    elif kind == "current":
        yield "@"
    elif kind not in ("expref", "slice"):
        for child in children[:1] if kind in _FIRST_ONLY else children:
            yield from _asked(child)


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    if node["type"] == "function_expression":
        yield node["value"]
    if node["type"] != "slice":  # its children are numbers
        for child in node["children"]:
            yield from _functions(child)
