"""The client that publishes: what it uses of paho beyond what paho offers, and what it makes of answers."""

import inspect
import socket
from collections.abc import Iterator, Sequence

import pytest
from paho.mqtt.client import Client, _WebsocketWrapper
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from fmq.mqtt import wire
from fmq.mqtt.wire import Answer, PublishingClient

PARAMETERS = {
    "_packet_handle": ["self"],
    "_packet_queue": ["self", "command", "packet", "mid", "qos", "info"],
    "_packet_read": ["self"],
    "_send_pubrel": ["self", "mid"],
    "_sock_recv": ["self", "bufsize"],
}
PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70


class Reading:
    """A client that reads what is sent to it."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, int]] = []
        self.client = PublishingClient(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, answered=self._note
        )
        mine, self.peer = socket.socketpair()
        mine.setblocking(False)
        self.client._sock = mine
        self.client._in_callback_mutex.acquire()  # as within a callback: then nothing is sent yet
        self.ends = (mine, self.peer)

    def _note(self, found: Sequence[Answer]) -> None:
        self.answers += [(packet_id, reason.value) for packet_id, reason in found]

    def read(self, data: bytes) -> MQTTErrorCode:
        self.peer.sendall(data)
        return self.client._packet_read()

    @property
    def queued(self) -> list[bytes]:
        return [bytes(one["packet"]) for one in self.client._out_packet]


@pytest.fixture
def reading() -> Iterator[Reading]:
    made = Reading()
    yield made
    for end in made.ends:
        end.close()


def answer(kind: int, packet_id: int, *more: int) -> bytes:
    return bytes([kind, 2 + len(more)]) + packet_id.to_bytes(2, "big") + bytes(more)


class TestPaho:
    def test_paho_still_has_it(self) -> None:
        """Every private name is there, with the parameters that it is called with. An upgrade that changes one shows here."""
        client = Client(CallbackAPIVersion.VERSION2)
        for name in wire.PRIVATE:
            assert hasattr(client, name), name
        for name, parameters in PARAMETERS.items():
            assert list(inspect.signature(getattr(Client, name)).parameters) == parameters
        assert {"command", "packet"} <= set(client._in_packet)
        assert "self._socket" in inspect.getsource(_WebsocketWrapper)

    def test_the_list_is_complete(self) -> None:
        """The source of the module names nothing private of paho that is not listed."""
        source = inspect.getsource(wire)
        plain = Client(CallbackAPIVersion.VERSION2)
        own = {name for name in (*dir(Client), *vars(plain)) if name.startswith("_") and not name.startswith("__")}
        assert {name for name in own if f".{name}" in source} <= {*wire.PRIVATE, "_sock"}

    def test_no_name_of_ours_hides_one_of_paho(self, reading: Reading) -> None:
        """The subclass overrides what it means to override and nothing else."""
        plain = Client(CallbackAPIVersion.VERSION2)
        methods = set(vars(PublishingClient)) & set(dir(Client)) - set(dir(object))
        assert methods - {"__module__", "__doc__"} == {"_packet_handle", "_packet_read", "_sock_recv"}
        ours = set(vars(reading.client)) - set(vars(plain))
        assert not ours & set(dir(Client))


class TestAnswers:
    def test_many_in_one_read(self, reading: Reading) -> None:
        """In their order, with their reason codes; without one it is success (MQTT 5, section 3.4.2.1)."""
        codes = [(1, ()), (65_535, (0x10,)), (3, (0x87, 0)), (2, ())]
        rc = reading.read(b"".join(answer(PUBACK, number, *more) for number, more in codes))
        assert (rc, reading.answers) == (0, [(1, 0), (65_535, 0x10), (3, 0x87), (2, 0)])

    @pytest.mark.parametrize("cut", range(1, 12))
    def test_wherever_a_read_ends(self, reading: Reading, cut: int) -> None:
        """An answer whose end comes with the next read is not lost, nor is what follows it."""
        data = answer(PUBACK, 1) + answer(PUBACK, 2, 0x10) + answer(PUBACK, 3)
        for part in (data[:cut], data[cut:]):
            assert reading.read(part) in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN)
        assert reading.answers == [(1, 0), (2, 0x10), (3, 0)]

    def test_with_properties(self, reading: Reading) -> None:
        """A Reason String of any length, whatever is in it, does no harm to the answer nor to those around it."""
        text = b"\xef\xbb\xbf" + b"x" * 200
        section = b"\x1f" + len(text).to_bytes(2, "big") + text
        size = 3 + 2 + len(section)
        long = bytes([PUBACK, size & 127 | 128, size >> 7, 0, 2, 0x97, len(section) & 127 | 128, len(section) >> 7])
        reading.read(answer(PUBACK, 1) + long + section + answer(PUBACK, 3, 0x90, 0))
        assert reading.answers == [(1, 0), (2, 0x97), (3, 0x90)]

    def test_a_code_that_nobody_knows(self, reading: Reading) -> None:
        """It counts as Unspecified error: the message fails, and the connection stays."""
        assert reading.read(answer(PUBACK, 1, 0xEE) + answer(PUBACK, 2)) == MQTTErrorCode.MQTT_ERR_SUCCESS
        assert reading.answers == [(1, 0x80), (2, 0)]

    def test_too_short(self, reading: Reading) -> None:
        """A PUBACK without a packet identifier ends the connection; what came before it counts."""
        assert reading.read(answer(PUBACK, 1) + b"\x40\x01\x00") == MQTTErrorCode.MQTT_ERR_PROTOCOL
        assert reading.answers == [(1, 0)]

    def test_exactly_once(self, reading: Reading) -> None:
        """PUBREC is answered by PUBREL, and PUBCOMP is the acknowledgement; a PUBREC that refuses is one too."""
        reading.read(answer(PUBREC, 1) + answer(PUBREC, 2, 0x87) + answer(PUBREC, 3, 0x10))
        assert reading.answers == [(2, 0x87)]
        assert reading.queued == [answer(PUBREL, 1), answer(PUBREL, 3)]
        reading.read(answer(PUBCOMP, 1) + answer(PUBCOMP, 3, 0x92))
        assert reading.answers == [(2, 0x87), (1, 0), (3, 0x92)]

    def test_the_end(self, reading: Reading) -> None:
        """Nothing more to read means that the connection is lost, nothing yet does not."""
        assert reading.client._packet_read() == MQTTErrorCode.MQTT_ERR_AGAIN
        reading.peer.close()
        assert reading.client._packet_read() == MQTTErrorCode.MQTT_ERR_CONN_LOST


@pytest.mark.parametrize(("transport", "kind"), [("tcp", memoryview), ("websockets", bytes)])
def test_what_is_written_is_not_copied_at_each_write(transport: str, kind: type) -> None:
    """It is queued as a view; a WebSocket masks its own copies."""
    client = PublishingClient(CallbackAPIVersion.VERSION2, transport=transport, answered=lambda _: None)
    client._in_callback_mutex.acquire()  # as within a callback: then nothing is sent yet
    client.write(b"packets")
    (queued,) = client._out_packet
    assert type(queued["packet"]) is kind
