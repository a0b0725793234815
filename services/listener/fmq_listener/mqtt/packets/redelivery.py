"""Tells redelivered messages from new ones: ``FMQ_DUPLICATES=session``.

A listener that is killed between its commit and the PUBACK gets the same messages again: the broker's session still holds
them, and sends them on the next connection with the DUP flag and their old packet identifiers (MQTT 5 and 3.1.1, section
4.4). So each commit keeps a receipt: the packet identifiers that it took, each with a digest of the message.

The rule: a PUBLISH with DUP is not stored again if, in this broker session, the same packet identifier came with the same
topic, payload, flags and properties among the last 32,767 messages before this connection. It is acknowledged like the
others. Each receipt counts once a connection.

Why 32,767: there are 65,535 packet identifiers (section 2.2.1). Half of them is more than a broker has under way, whatever
Receive Maximum it was given (Mosquitto 2.0 forgets it when it resumes a session). And a broker that counts its
identifiers up, as Mosquitto does, has not come round to one of them again.

A broker that numbers its packets anew on each connection (RabbitMQ) breaks that rule: an identifier says nothing of earlier
packets. It shows when the first packet on a connection to a resumed session has the identifier 1. A broker that goes on with
its numbering sends 1 first only if it did not get a single acknowledgement since it used 1: then it sends everything since,
in the same order, with DUP (section 4.6). If anything else comes, nothing is suppressed on that connection, nor on later ones
that begin with 1.

The limit: a broker that uses identifiers again sooner may have got the PUBACK after all, given the identifier to a message
with the very same content, and lost that one's first delivery with the connection. Then it is taken for the old one.
"""

import logging
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Protocol

from fmq.message import Incoming, Properties, Receipt
from fmq.store.roles import Notes, Receipts
from fmq_listener.mqtt.packets.batch import Batch

_log = logging.getLogger(__name__)
_ENTRY = struct.Struct(">H8s")
_DIGEST_BYTES = 8
WINDOW = 32_767
_ANEW = "anew"


class ReceiptStore(Receipts, Notes, Protocol):
    """Keeps receipts and notes."""


class Redelivery:
    """Knows what one session has brought. ``window`` in messages."""

    def __init__(self, receipts: ReceiptStore, *, session: str, window: int = WINDOW) -> None:
        self._receipts = receipts
        self._session = session
        self._window = window
        self._kept: deque[tuple[int, int]] = deque()
        """Number and count of each receipt."""
        self._known: dict[int, bytes] = {}
        self._note = f"numbering:{session}"
        self._is_first = False
        """Whether the next packet is the first one of a connection to a resumed session."""
        self._order: list[tuple[int, bytes]] = []
        """What is known, in the order of arrival."""

    def begin(self, *, session_present: bool) -> None:
        """A connection stands, and nothing was read from it yet. Raises StoreUnavailable."""
        self._known = {}
        self._order = []
        self._is_first = False
        if not session_present:
            self._receipts.forget_receipts(self._session)
            self._kept.clear()
            return
        found = self._receipts.receipts(self._session)
        self._kept = deque((number, len(data) // _ENTRY.size) for number, data in found)
        entries = [entry for _, data in found for entry in _ENTRY.iter_unpack(data)]
        self._order = entries[-self._window :]
        self._known = dict(self._order)
        self._is_first = bool(found)

    def sift(self, batch: Batch) -> tuple[list[Incoming], list[Incoming], Receipt | None]:
        """The messages of ``batch`` to store, those not to store, and the receipt for the same commit."""
        messages = batch.messages
        again: list[slice] = []
        entries: list[bytes] = []
        digests: dict[int, bytes] = {}
        if self._is_first and batch.marks:
            self._look_at_first(batch)
        for packet_id, redelivered, start, count in batch.marks:
            if not count:
                continue  # of QoS 2, and stored already
            found = digest(messages[start], digests)
            if redelivered and self._known.get(packet_id) == found:
                del self._known[packet_id]
                again.append(slice(start, start + count))
            else:
                entries.append(_ENTRY.pack(packet_id, found))
        suppressed = [message for part in again for message in messages[part]]
        stored = list(messages)
        for part in reversed(again):
            del stored[part]
        return stored, suppressed, self._receipt(entries)

    def _look_at_first(self, batch: Batch) -> None:
        """Whether the broker has gone on with its numbering. Raises StoreUnavailable."""
        self._is_first = False
        noted = self._receipts.recall(self._note) == _ANEW
        if batch.marks[0][0] != 1:
            if noted:
                self._receipts.remember(self._note, "")
        elif noted or not self._goes_on(batch):
            self._known = {}
            if not noted:
                self._receipts.remember(self._note, _ANEW)
            _log.warning(
                "The broker numbers its packets anew on each connection: FMQ_DUPLICATES=session can't tell what comes "
                "again, and suppresses nothing on this connection. Use FMQ_DUPLICATES=key."
            )
        self._order = []

    def _goes_on(self, batch: Batch) -> bool:
        """Whether a batch that begins with the identifier 1 repeats everything since that one was used."""
        ids = [number for number, _ in self._order]
        if 1 not in ids:
            return False
        owed = self._order[len(ids) - 1 - ids[::-1].index(1) :]
        digests: dict[int, bytes] = {}
        came = [
            (number, digest(batch.messages[start], digests)) if redelivered and count else None
            for number, redelivered, start, count in batch.marks[: len(owed)]
        ]
        return came == owed

    def stored(self, receipt: Receipt | None) -> None:
        """The commit with ``receipt`` has succeeded."""
        if receipt:
            self._kept.append((receipt.number, len(receipt.data) // _ENTRY.size))
            while self._kept[0][0] < receipt.first_kept:
                self._kept.popleft()

    def _receipt(self, entries: Sequence[bytes]) -> Receipt | None:
        if not entries:
            return None
        number = self._kept[-1][0] + 1 if self._kept else 1
        enough = len(entries)
        first = number
        for older, count in reversed(self._kept):
            if enough >= self._window:
                break
            first = older
            enough += count
        return Receipt(self._session, number, b"".join(entries), first)


def digest(message: Incoming, digests: dict[int, bytes]) -> bytes:
    """Of everything that a redelivery repeats. The expiry interval is less each time (MQTT 5, section 3.3.2.3.3)."""
    found = blake2b(digest_size=_DIGEST_BYTES)
    topic = message.topic.encode(errors="surrogatepass")
    found.update(struct.pack(">I??", len(topic), message.qos > 0, message.retain))
    found.update(topic)
    if message.properties is not None:
        found.update(_of_properties(message.properties, digests))
    found.update(message.payload)
    return found.digest()


def _of_properties(properties: Properties, digests: dict[int, bytes]) -> bytes:
    """A digest of the properties; the messages of a batch often share them."""
    key = id(properties)
    if key not in digests:
        found = blake2b(digest_size=_DIGEST_BYTES)
        few = replace(properties, message_expiry_interval=None, user_properties=(), raw=None)
        # Piece by piece: all of them in one text may be many times as large as they are.
        for part in (few, *properties.user_properties):
            found.update(repr(part).encode(errors="surrogatepass"))
        found.update(properties.raw or b"")
        digests[key] = found.digest()
    return digests[key]
