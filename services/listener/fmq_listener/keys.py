"""Where a message says what identifies it, for ``FMQ_DUPLICATES=key``.

Two keys are the same only if nothing tells them apart: what is wrongly taken for a duplicate is lost.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from jsonpointer import JsonPointer, JsonPointerException

from fmq.message import Incoming

USER = "user:"
LARGEST_PAYLOAD = 1024 * 1024
"""Of a longer payload no key is looked for: JSON may take 70 times its length in memory."""
_LONGEST = 1_000
_HASHED = "sha256:"
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")

Key = Callable[[Incoming], str | None]


class PayloadTooLarge(Exception):
    """The payload has more than ``LARGEST_PAYLOAD`` bytes."""


class _Number(str):
    """A JSON number as it stands in the text."""

    __slots__ = ()


_AMBIGUOUS = object()
"""A member that its object has more than once: RFC 8259, section 4, leaves open which one counts."""


def key_of(expression: str) -> Key:
    """Finds a message's key: ``user:NAME`` is a user property, ``/…`` a JSON pointer (RFC 6901) into the payload.

    Raises ValueError if ``expression`` is neither. What it returns raises PayloadTooLarge.
    """
    if expression.startswith(USER) and len(expression) > len(USER):
        name = expression.removeprefix(USER)
        return lambda message: _shortened(message.properties.user(name)) if message.properties else None
    if not expression.startswith("/"):
        raise ValueError("neither user:NAME nor a JSON pointer")
    try:
        steps = JsonPointer(expression).parts
    except JsonPointerException as error:
        raise ValueError(f"not a JSON pointer ({error})") from error
    return lambda message: _shortened(_key_in(message.payload, steps))


def _key_in(payload: bytes, steps: list[str]) -> str | None:
    """The text of the value that ``steps`` lead to; None if it is missing, no string, number, true or false, or no JSON.

    A number is compared as it is written: reading it would make 1764367200.123456781 and …789 the same, and 1 and 1.0 differ
    for many readers. A string is compared by its characters, however they are escaped.
    """
    if len(payload) > LARGEST_PAYLOAD:
        raise PayloadTooLarge
    try:
        found = json.loads(
            payload, parse_float=_Number, parse_int=_Number, parse_constant=_refuse, object_pairs_hook=_members
        )
    except (ValueError, RecursionError):
        return None
    for step in steps:
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and _INDEX.fullmatch(step) and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    if isinstance(found, _Number):
        return str(found)
    return json.dumps(found) if isinstance(found, str | bool) else None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # RFC 8259, section 6


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                members[name] = _AMBIGUOUS
            seen.add(name)
    return members


def _shortened(key: str | None) -> str | None:
    """``key``, or its hash if it is long; no short key looks like a hash."""
    if key is None or (len(key) <= _LONGEST and not key.startswith(_HASHED)):
        return key
    return _HASHED + hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
