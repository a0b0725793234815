"""Property sections that MQTT 5 forbids, or allows and nobody expects (sections 1.5.4, 2.2.2 and 3.3.2.3)."""

import random
from collections.abc import Callable, Sequence

from support.scripted_broker import length, text, user_property

_TEXTS = (
    "\ufeff",
    "\ufeff name",
    "\0",
    "a\0b",
    "\uffff",
    "\U0010ffff",
    "\x01\x1f\x7f",
    "\ud800",
    b"\xff\xfe",
    b"\xc0\x80",
    b"\xf8\x88\x80\x80\x80",
    "",
    "fmq-delay",
)
"""U+FEFF, U+0000, non-characters, control characters, surrogates, and what is not UTF-8."""


def _whole(inside: bytes) -> bytes:
    return length(len(inside)) + inside


def _filled(unit: bytes, size: int) -> bytes:
    return unit * max(1, size // len(unit))


def _many(rng: random.Random, size: int) -> bytes:
    """User properties by the hundred thousand."""
    name = rng.choice(("", "a", "a name"))
    return _whole(_filled(user_property(name, rng.choice(("", "b" * rng.randrange(40)))), size))


def _odd_texts(rng: random.Random, size: int) -> bytes:
    """The same with texts that are odd or malformed."""
    unit = b"".join(user_property(rng.choice(_TEXTS), rng.choice(_TEXTS)) for _ in range(rng.randrange(1, 20)))
    return _whole(_filled(unit, size))


def _long_texts(rng: random.Random, size: int) -> bytes:
    """As long as they may be, of characters that grow when they are stored."""
    return _whole(_filled(user_property(rng.choice(("\x01", "\ufeff", "x")) * 20_000, b"\x02" * 65_535), size))


def _past_the_end(rng: random.Random, size: int) -> bytes:
    """The last user property says that it is longer than what is left."""
    return _whole(_filled(user_property("a", "b"), size) + b"\x26\xff\xff" + rng.randbytes(rng.randrange(10)))


def _past_the_packet(rng: random.Random, size: int) -> bytes:
    """The section says that it is longer than its packet."""
    return length(rng.randrange(size + 1_000, 200_000_000)) + _filled(user_property("a", "b"), size)


def _endless_length(rng: random.Random, size: int) -> bytes:
    """A length of more than four bytes."""
    return b"\xff\xff\xff\xff\xff\x01" + _filled(b"\x26", min(size, rng.randrange(1, 100_000)))


def _unknown(rng: random.Random, size: int) -> bytes:
    """An identifier that no PUBLISH has, somewhere."""
    before = _filled(user_property("a", "b"), size)
    return _whole(before + bytes((rng.choice((0x00, 0x04, 0x11, 0x21, 0x27, 0x2A, 0x7F, 0xFF)),)) + before[:100])


def _repeated(rng: random.Random, size: int) -> bytes:
    """A property that must not repeat is repeated; or a subscription identifier, which may repeat."""
    return _whole(_filled(rng.choice((b"\x01\1", b"\x02\0\0\0\x09", b"\x03" + text("a/b"), b"\x0b\x7f")), size))


def _random(rng: random.Random, size: int) -> bytes:
    return _whole(rng.randbytes(size))


def _aliases(_rng: random.Random, size: int) -> bytes:
    """A topic alias of 0, or more than one of them, with a topic next to it."""
    return _whole(b"\x23\0\0" + _filled(user_property("a", "b"), size) + b"\x23\0\7")


KINDS: Sequence[Callable[[random.Random, int], bytes]] = (
    _many,
    _odd_texts,
    _long_texts,
    _past_the_end,
    _past_the_packet,
    _endless_length,
    _unknown,
    _repeated,
    _random,
    _aliases,
)
"""Each makes a section of about a size, its length in front."""
