"""The properties of a PUBLISH, from bytes to what is kept with the message (MQTT 5, section 3.3.2.3).

In time and memory linear in the section, and as tolerant as section 1.5.4 allows or more: U+FEFF, non-characters, U+0000
and surrogates that somebody encoded are kept as they are. A section that the specification calls malformed, or
that is too large to take apart, is kept raw, with a reason (docs/adr/0016).
"""

from typing import Any, NamedTuple

from fmq.message import NO_PROPERTIES, Properties

MOST_USER_PROPERTIES = 200_000
"""As Python objects, in a handler too, they take some 250 bytes each."""
MOST_TEXT = 32 * 1024 * 1024
"""Bytes of JSON text that the store may have to hold for the properties of one message."""
_USER = 0x26
_PRINTABLE = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
_ESCAPED = 6
"""Bytes of JSON text for each byte that has to be escaped: \\u0000."""
_PAIR_BYTES = 200
_BYTE, _TWO_BYTES, _FOUR_BYTES, _NUMBER, _TEXT, _BINARY = range(6)
_KINDS = {
    0x01: (_BYTE, "payload_format_indicator"),
    0x02: (_FOUR_BYTES, "message_expiry_interval"),
    0x03: (_TEXT, "content_type"),
    0x08: (_TEXT, "response_topic"),
    0x09: (_BINARY, "correlation_data"),
    0x0B: (_NUMBER, "subscription identifier"),
    0x23: (_TWO_BYTES, "topic alias"),
}
"""The properties of a PUBLISH, except user properties (MQTT 5, section 2.2.2.2)."""
_SIZES = {_BYTE: 1, _TWO_BYTES: 2, _FOUR_BYTES: 4}


class Section(NamedTuple):
    """What the properties of one PUBLISH say. ``weight``: how many bytes of memory they may take until they are stored.

    With a ``fault``, which says what is wrong with them, ``kept`` holds them raw. ``alias`` is a topic alias or 0.
    """

    identifiers: tuple[int, ...]
    kept: Properties | None
    weight: int
    alias: int = 0
    fault: str | None = None


class _Fault(Exception):
    """The section can't be taken apart."""


def decode_properties(section: bytes) -> Section:
    """Take apart what stands between the packet identifier and the payload, with the property length. Raises nothing."""
    if section == b"\0":
        return Section((), None, 1)
    identifiers: list[int] = []
    try:
        fields = _fields(section, identifiers)
    except IndexError:
        fault = "a length reaches past the end of the properties"
    except UnicodeDecodeError as error:
        fault = f"text that is not UTF-8: {error.reason}"
    except _Fault as error:
        fault = str(error)
    else:
        alias = fields.pop("topic alias", 0)
        kept = Properties(**fields)
        weight = _text_bytes(section) + _PAIR_BYTES * len(kept.user_properties)
        return Section(tuple(identifiers), None if kept == NO_PROPERTIES else kept, weight, alias)
    return Section(
        tuple(identifiers), Properties(raw=section), 2 * len(section), fault=f"malformed properties: {fault}"
    )


def variable_length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer (MQTT 5, section 1.5.5) and where it ends; 0 for the end if data ends before it does.

    Raises ValueError if it has more than four bytes.
    """
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(data):
            return 0, 0
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a length of more than four bytes")


def end_of_section(data: bytes, at: int, stop: int) -> int:
    """Where the properties end that begin at ``at``: at the end of the packet if their length can't be right."""
    if at >= stop:
        return stop
    length, after = data[at], at + 1
    if length > 127:
        try:
            length, after = variable_length(data[at : min(at + 4, stop)], 0)
        except ValueError:
            return stop
        if not after:
            return stop
        after += at
    return min(after + length, stop)


def _fields(section: bytes, identifiers: list[int]) -> dict[str, Any]:
    at = _begin(section)
    end = len(section)
    if _text_bytes(section) > MOST_TEXT:
        raise _Fault(f"{end} bytes of them are more than fmq takes apart")
    fields: dict[str, Any] = {}
    pairs: list[tuple[str, str]] = []
    add = pairs.append
    while at < end:
        kind = section[at]
        if kind == _USER:
            name = at + 3
            middle = name + (section[at + 1] << 8 | section[at + 2])
            value = middle + 2
            at = value + (section[middle] << 8 | section[middle + 1])
            if at > end:
                raise IndexError
            add(
                (
                    section[name:middle].decode("utf-8", "surrogatepass"),
                    section[value:at].decode("utf-8", "surrogatepass"),
                )
            )
            if len(pairs) > MOST_USER_PROPERTIES:
                raise _Fault(f"more than {MOST_USER_PROPERTIES} user properties are more than fmq takes apart")
        else:
            at = _other(section, at, fields, identifiers)
    if pairs:
        fields["user_properties"] = tuple(pairs)
    return fields


def _begin(section: bytes) -> int:
    """Where the first property stands."""
    try:
        length, at = variable_length(section, 0)
    except ValueError:
        raise _Fault("a property length of more than four bytes") from None
    if not at:
        raise _Fault("the packet ends before the property length does")
    if at + length > len(section):
        raise _Fault(f"the property length of {length} reaches past the end of the packet")
    return at


def _other(section: bytes, at: int, fields: dict[str, Any], identifiers: list[int]) -> int:
    """Read one property that is not a user property; returns where it ends."""
    number = section[at]
    if number not in _KINDS:
        raise _Fault(f"property {number}, which no PUBLISH has")
    kind, name = _KINDS[number]
    at += 1
    value: Any
    if kind == _NUMBER:  # the only one that may be repeated (section 3.3.2.3.8)
        try:
            value, at = variable_length(section, at)
        except ValueError:
            raise _Fault(f"a {name} of more than four bytes") from None
        if not at:
            raise IndexError
        identifiers.append(value)
        return at
    if kind in _SIZES:
        end = at + _SIZES[kind]
    else:
        end = at + 2 + (section[at] << 8 | section[at + 1])
        at += 2
    if end > len(section):
        raise IndexError
    if name in fields:
        raise _Fault(f"{name} is there more than once")
    value = section[at:end]
    if kind == _TEXT:
        value = value.decode("utf-8", "surrogatepass")
    elif kind != _BINARY:
        value = int.from_bytes(value, "big")
    fields[name] = value
    return end


def _text_bytes(section: bytes) -> int:
    """How long the JSON text of a section is at most."""
    return len(section) + (_ESCAPED - 1) * len(section.translate(None, _PRINTABLE))
