"""What a broker says in CONNACK, DISCONNECT and AUTH (MQTT 5) besides numbers, and what it means to people."""

from typing import NamedTuple

from paho.mqtt.client import CONNACK, DISCONNECT, Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from fmq.text import plain

AUTH = 0xF0
_BEFORE = {CONNACK: 2, DISCONNECT: 1, AUTH: 1}
"""Bytes in front of the properties (sections 3.2.2, 3.14.2 and 3.15.2)."""
_SIZES = dict.fromkeys((36, 37, 40, 41, 42), 1) | {0x13: 2, 0x21: 2, 0x22: 2, 0x11: 4, 0x27: 4}
_METHOD, _SERVER, _REASON = 0x15, 0x1C, 0x1F
_TEXTS = (0x12, _METHOD, 0x16, 0x1A, _SERVER, _REASON)
_USER = 0x26
_MOST_USER_PROPERTIES = 100
_LONGEST = 200
_OTHER_SERVER = (0x9C, 0x9D)
_BAD_METHOD = 0x8C
_QUOTA = 0x97
_ENHANCED = (
    "fmq does not support enhanced authentication: use a user name and a password (or a token in its place), or a client "
    "certificate"
)


class Said(NamedTuple):
    """Reason String, Server Reference and Authentication Method; empty if not sent. ``asks``: it was an AUTH."""

    reason: str = ""
    server: str = ""
    method: str = ""
    asks: bool = False


NOTHING = Said()


def read_said(first: int, body: bytes) -> Said:
    """What the packet says, up to the first property that can't be read."""
    texts: dict[int, str] = {}
    try:
        at, end = _section(body, _BEFORE[first & 0xF0])
        left = _MOST_USER_PROPERTIES
        while at < end:
            number = body[at]
            at += 1
            if number in _SIZES:
                at += _SIZES[number]
            elif number in _TEXTS:
                size = body[at] << 8 | body[at + 1]
                texts[number] = _text(body[at + 2 : at + 2 + size])
                at += 2 + size
            elif number == _USER and left:
                left -= 1
                for _ in range(2):
                    at += 2 + (body[at] << 8 | body[at + 1])
            else:
                break
    except (IndexError, KeyError):
        pass
    reason, server, method = (texts.get(one, "") for one in (_REASON, _SERVER, _METHOD))
    return Said(reason, server, method, asks=first & 0xF0 == AUTH)


def _section(body: bytes, at: int) -> tuple[int, int]:
    """Where the properties begin and end. Raises IndexError."""
    length = 0
    for place in range(4):
        byte = body[at + place]
        length |= (byte & 127) << 7 * place
        if byte < 128:
            return at + place + 1, min(len(body), at + place + 1 + length)
    raise IndexError


def _text(data: bytes) -> str:
    text = plain(data.decode(errors="replace"))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def explain_reason(reason: ReasonCode, said: Said, *, setting: str) -> str:
    """A reason code in words. ``setting`` is the name of the setting with the broker's URL."""
    name = reason.getName()
    text = f"{name} ({said.reason})" if said.reason and said.reason != name else name
    if reason.value in _OTHER_SERVER:
        # Never followed: it would show the password to whomever the answer names.
        where = f"it names {said.server}; " if said.server else ""
        return f"{text}; {where}set {setting} to that server"
    if reason.value == _BAD_METHOD:
        return f"{text}; {_method(said)}{_ENHANCED}"
    if reason.value == _QUOTA:
        return f"{text}; a limit of the broker is reached, such as that of sessions, subscriptions or messages"
    return text


def explain_auth(said: Said) -> str:
    """Why the connection ended after the broker sent AUTH."""
    return f"the broker asks for enhanced authentication (AUTH); {_method(said)}{_ENHANCED}"


def _method(said: Said) -> str:
    return f"its method is {said.method}; " if said.method else ""


class HearingClient(Client):
    """Remembers in ``said`` what paho does not understand or keep of the broker's last word."""

    said = NOTHING
    hears_itself = False
    """Whether a subclass calls ``hear`` on its own, since paho gets packets that it has changed."""

    def hear(self, first: int, body: bytes) -> None:
        """Remember what this packet says, if it may say anything."""
        if first & 0xF0 in _BEFORE and self._protocol == 5:
            self.said = read_said(first, body)

    def _packet_handle(self) -> MQTTErrorCode:
        if not self.hears_itself:
            packet = self._in_packet
            self.hear(packet["command"], bytes(packet["packet"]))
        return super()._packet_handle()
