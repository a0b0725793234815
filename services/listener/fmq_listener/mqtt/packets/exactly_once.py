"""QoS 2, which comes only where somebody else had made the session (MQTT 5 and 3.1.1, section 4.3.3).

A message is stored before PUBREC goes out. From then on, until PUBREL releases its packet identifier, the broker may
deliver it once more, and it must not be stored once more. What is known is of this process: after a restart such a
message is stored again, as at QoS 1, unless FMQ_DUPLICATES=session tells it from new ones.

Another message under an identifier that was not released breaks the protocol. It is stored: better twice than never.
"""

from fmq.message import Incoming
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.packets.redelivery import digest


class ExactlyOnce:
    """What was received and not released: at most a digest for each of 65,535 identifiers.

    What a batch changes holds once its commit has succeeded.
    """

    def __init__(self) -> None:
        self._received: dict[int, bytes] = {}

    def forget(self) -> None:
        """The session is new."""
        self._received.clear()

    def repeats(self, batch: Batch, packet_id: int, message: Incoming) -> bool:
        """Whether the message was stored under its identifier already; if not, it is from the commit of ``batch`` on."""
        found = digest(message, {})
        if self._known(batch, packet_id) == found:
            return True
        batch.received[packet_id] = found
        return False

    def release(self, batch: Batch, packet_id: int) -> None:
        """PUBREL came: PUBCOMP goes out with the acknowledgements of ``batch``, and the identifier is free."""
        batch.completions.append((packet_id, self._known(batch, packet_id) is not None))
        batch.received[packet_id] = None
        batch.packets += 1

    def stored(self, batch: Batch) -> None:
        """The commit of ``batch`` has succeeded."""
        for packet_id, found in batch.received.items():
            if found is None:
                self._received.pop(packet_id, None)
            else:
                self._received[packet_id] = found

    def _known(self, batch: Batch, packet_id: int) -> bytes | None:
        if packet_id in batch.received:
            return batch.received[packet_id]
        return self._received.get(packet_id)
