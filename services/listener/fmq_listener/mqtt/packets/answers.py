"""What a broker says of itself (CONNACK, SUBACK, UNSUBACK, DISCONNECT), without what nobody here reads.

paho ends the connection for a reason string with U+FEFF in it, and takes minutes for thousands of user properties. Numbers
are all that matters, so only these are left for it (MQTT 5, section 2.2.2.2). It also ends the connection for a reason code
that it does not know, and a broker would give the same one on the next: such a code counts as Unspecified error.
"""

from paho.mqtt.client import CONNACK, DISCONNECT, SUBACK, UNSUBACK

from fmq_listener.mqtt.packets.properties import variable_length

_BEFORE: dict[int, int] = {CONNACK: 2, SUBACK: 2, UNSUBACK: 2, DISCONNECT: 1}
"""Bytes in front of the properties, by packet type (sections 3.2.2, 3.9.2, 3.11.2 and 3.14.2)."""
_SIZES = dict.fromkeys((36, 37, 40, 41, 42), 1) | {0x13: 2, 0x21: 2, 0x22: 2, 0x11: 4, 0x27: 4}
_TEXTS = (0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F)
_USER = 0x26
_NUMBER = 0x0B
_LARGEST_PACKET = 0x27
_RECEIVE_MAXIMUM = 0x21
_NO_LIMIT = 268_435_455
"""No packet is larger (section 2.1.4), and paho refuses a larger limit."""
_UNSPECIFIED = 0x80
_CODES: dict[int, set[int]] = {
    SUBACK: {0, 1, 2, _UNSPECIFIED, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0, 0x11, _UNSPECIFIED, 0x83, 0x87, 0x8F, 0x91},
}
"""The reason codes that there are (sections 3.9.3 and 3.11.3)."""


def numbers_only(first: int, body: bytes) -> bytes:
    """The body of a packet, its properties reduced to numbers; unchanged where they can't be found."""
    at = _BEFORE.get(first & 0xF0)
    if at is None or len(body) <= at:
        return body
    try:
        length, begin = variable_length(body, at)
    except ValueError:
        return body
    if not begin or begin + length > len(body):
        return body
    kept = _numbers(body[begin : begin + length])
    return body[:at] + bytes([len(kept)]) + kept + body[begin + length :]


def one_code(first: int, body: bytes, *, v5: bool) -> bytes:
    """The body of a SUBACK or UNSUBACK with one reason code: a listener asks for one filter at a time.

    What is missing or unknown counts as Unspecified error. ``body`` is what ``numbers_only`` has left.
    """
    codes = _CODES.get(first & 0xF0)
    if codes is None or len(body) < 2 or (codes is _CODES[UNSUBACK] and not v5):
        return body
    if v5 and len(body) == 2:
        body += b"\0"
    at = 3 + body[2] if v5 else 2
    code = body[at] if at < len(body) and body[at] in codes else _UNSPECIFIED
    return body[:at] + bytes([code])


def _numbers(section: bytes) -> bytes:
    """Up to the first property that can't be read. At most 26 bytes: each number once."""
    kept: dict[int, bytes] = {}
    at = 0
    try:
        while at < len(section):
            number = section[at]
            if number in _SIZES:
                end = at + 1 + _SIZES[number]
                value = int.from_bytes(section[at + 1 : end], "big")
                refused = (number == _LARGEST_PACKET and not 0 < value <= _NO_LIMIT) or (
                    number == _RECEIVE_MAXIMUM and not value
                )
                if end <= len(section) and not refused:
                    kept.setdefault(number, section[at:end])
                at = end
            elif number in _TEXTS or number == _USER:
                at += 1
                for _ in range(2 if number == _USER else 1):
                    at += 2 + (section[at] << 8 | section[at + 1])
            elif number == _NUMBER:
                _, at = variable_length(section, at + 1)
                if not at:
                    break
            else:
                break
    except (IndexError, ValueError):
        pass
    return b"".join(kept.values())
