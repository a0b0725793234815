"""Decodes payloads to values, as ``FMQ_DECODE`` says.

Publishers are not trusted: whatever a payload holds, decoding ends soon, in bounded memory, with a value or with
Undecodable. A value may take 50 times the memory of its text, so memory is reserved first.
"""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from email.message import Message as Header
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn, Protocol

import msgpack

from fmq.message import Message, Properties
from fmq_processor.prepare.memory import UNBOUNDED, Share

NONE, AUTO = "none", "auto"
_CHUNK = 64 * 1024
_SHOWN = 80
_CHARSETS = {"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16"}
"""The supported charsets. Others are rare, and some of Python's take quadratic time."""


class Decode(Protocol):
    """Decodes a message's payload. Raises Undecodable, and NoRoom if ``share`` has no memory for the value."""

    def __call__(self, message: Message, share: Share = UNBOUNDED) -> Any: ...  # noqa: ANN401 - whatever it holds


class _Step(NamedTuple):
    """From bytes, and the maximum size to unpack to, to a value.

    The value takes at most ``factor`` bytes of memory for each byte, and more exactly what ``holds`` says.
    """

    name: str
    run: Callable[[bytes, int], Any]
    factor: int
    holds: Callable[[bytes], int] | None = None


class Undecodable(Exception):
    """The payload has another format than expected, or is too large. The text says which."""


def make_decoder(spec: str, *, most_bytes: int) -> Decode | None:
    """The decoder that ``spec`` names, ``auto`` or steps with commas between; None for ``none``: bytes as they are.

    What it decodes has ``most_bytes`` at most, before and after each step. Raises ValueError if it is no such name.
    """
    if spec == NONE:
        return None
    if spec == AUTO:
        return lambda message, share=UNBOUNDED: _run(_steps_for(message.properties), message.payload, most_bytes, share)
    names = [name.strip() for name in spec.split(",")]
    for name in names:
        if name not in _STEPS:
            raise ValueError(f"{name!r} is not a decoder")
    for before, name in pairwise(names):
        if before not in _UNPACKING:
            raise ValueError(f"{name!r} needs bytes, which only {' and '.join(_UNPACKING)} return")
    steps = tuple(_STEPS[name] for name in names)
    return lambda message, share=UNBOUNDED: _run(steps, message.payload, most_bytes, share)


def _run(steps: Sequence[_Step], payload: bytes, most_bytes: int, share: Share) -> Any:  # noqa: ANN401 - whatever it holds
    value: Any = payload
    for step in steps:
        if len(value) > most_bytes:
            raise Undecodable(f"it has {len(value)} bytes; the maximum is {most_bytes}")
        before, most, unpacks = share.held, step.factor * len(value), step.name in _UNPACKING
        share.take(
            min(most, 2 * most_bytes) if unpacks else most,  # twice: in pieces, and then as a whole
            None if step.holds is None else partial(step.holds, value),
        )
        try:
            value = step.run(value, most_bytes)
        except RecursionError:
            raise Undecodable(f"not decoded as {step.name}: it is nested too deeply") from None
        except (Undecodable, ValueError, TypeError, OverflowError, OSError, EOFError, zlib.error) as error:
            raise Undecodable(f"not decoded as {step.name}: {error}") from None
        if unpacks:
            share.shrink(before + len(value))
    return value


def _gunzip(data: bytes, most_bytes: int) -> bytes:
    """RFC 1952, with several members too."""
    if not data:
        raise EOFError("it is empty")
    parts, total = [], 0
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as unpacked:
        while part := unpacked.read(_CHUNK):
            total += len(part)
            _check_unpacked(total, most_bytes)
            parts.append(part)
    return b"".join(parts)


def _inflate(data: bytes, most_bytes: int) -> bytes:
    """RFC 1950."""
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(data, most_bytes + 1)
    _check_unpacked(len(unpacked), most_bytes)
    if not unpacking.eof:
        raise ValueError("it is cut short")
    if unpacking.unused_data:
        raise ValueError("data follows its end")
    return unpacked


def _check_unpacked(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise Undecodable(f"it unpacks to more than the maximum of {most_bytes} bytes")


def _json(data: bytes, _: int) -> Any:  # noqa: ANN401 - whatever it holds
    """RFC 8259: UTF-8, perhaps with a byte order mark; NaN and Infinity are not JSON."""
    return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _msgpack(data: bytes, _: int) -> Any:  # noqa: ANN401 - whatever it holds
    """Keys of maps are text or bytes: numbers could be chosen so that a dict with them takes very long to fill.

    Without other limits, the library takes no array, map or text for longer than the data are.
    """
    return msgpack.unpackb(data, timestamp=3)


def _text(data: bytes, _: int) -> str:
    return data.decode()


def _json_holds(data: bytes) -> int:
    """The memory of CPython's lists, dicts, their entries, strings and numbers, by the signs that each of them needs.

    The text is there twice: as a whole, and in the strings.
    """
    lists, dicts, members, more, quotes = (data.count(sign) for sign in (b"[", b"{", b":", b",", b'"'))
    return 2 * _TEXT * len(data) + 96 * lists + 224 * dicts + 76 * members + 41 * more + 32 * quotes


def _msgpack_holds(data: bytes) -> int:
    """The same by the bytes that begin a map, an array or an extension; those within texts and numbers count too."""
    dicts, lists, others = (len(data) - len(data.translate(None, signs)) for signs in (_MAPS, _ARRAYS, _EXTENSIONS))
    return 24 * len(data) + 224 * dicts + 96 * lists + 130 * others


_TEXT = 4
"""Bytes for a character: one beyond the BMP makes all of a string's characters so large."""
_MAPS = bytes((*range(0x80, 0x90), 0xDE, 0xDF))
_ARRAYS = bytes((*range(0x90, 0xA0), 0xDC, 0xDD))
_EXTENSIONS = bytes((*range(0xC7, 0xCA), *range(0xD4, 0xD9)))
_DEFLATED = 1032
"""The most that deflate packs into a byte (zlib's technical details)."""
_STEPS: Mapping[str, _Step] = {
    one.name: one
    for one in (
        _Step("gzip", _gunzip, 2 * _DEFLATED),
        _Step("zlib", _inflate, 2 * _DEFLATED),
        _Step("json", _json, 72, _json_holds),
        _Step("msgpack", _msgpack, 256, _msgpack_holds),
        _Step("text", _text, _TEXT),
    )
}
_UNPACKING = ("gzip", "zlib")


def _steps_for(properties: Properties) -> Sequence[_Step]:
    """What ``auto`` does with a message: content type, and the user property content-encoding as in HTTP (RFC 9110)."""
    steps = _unpacking_of(properties.user("content-encoding") or "identity")
    if properties.content_type is not None:
        return [*steps, *_steps_of_type(properties.content_type)]
    return [*steps, _STEPS["text"]] if properties.payload_format_indicator == 1 else steps


def _unpacking_of(encoding: str) -> Sequence[_Step]:
    match encoding.lower():
        case "identity":
            return ()
        case "gzip" | "x-gzip":
            return (_STEPS["gzip"],)
        case "deflate":
            return (_STEPS["zlib"],)
    raise Undecodable(f"its content-encoding {encoding[:_SHOWN]!r} is unknown")


@lru_cache(maxsize=64)
def _steps_of_type(content_type: str) -> Sequence[_Step]:
    """By media type (RFC 6838); none for one that says nothing of how to decode it."""
    media_type = content_type.partition(";")[0].strip().lower()
    kind = media_type.removeprefix("application/").removeprefix("x-").removeprefix("vnd.")
    if kind in ("json", "text/json") or kind.endswith("+json"):
        return (_STEPS["json"],)
    if kind == "msgpack" or kind.endswith("+msgpack"):
        return (_STEPS["msgpack"],)
    if kind == "gzip":
        return (_STEPS["gzip"],)
    if not media_type.startswith("text/"):
        return ()
    charset = _charset(content_type)
    return (_Step("text", lambda data, _: data.decode(charset), _TEXT),)


def _charset(content_type: str) -> str:
    """The charset parameter, as Python calls it; UTF-8 without one, as MQTT's own texts are."""
    header = Header()
    header["Content-Type"] = content_type
    asked = header.get_content_charset("utf-8")
    try:
        name = codecs.lookup(asked).name
    except (LookupError, ValueError):
        name = ""
    if name not in _CHARSETS:
        raise Undecodable(f"its charset {asked[:_SHOWN]!r} is not supported")
    return name
