"""What the listener's client uses of paho beyond what paho offers."""

import inspect

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from fmq_listener.mqtt import wire
from fmq_listener.mqtt.wire import WireClient

PARAMETERS = {
    "_packet_handle": ["self"],
    "_packet_queue": ["self", "command", "packet", "mid", "qos", "info"],
    "_packet_read": ["self"],
    "_sock_recv": ["self", "bufsize"],
}


def test_paho_still_has_it() -> None:
    """Every private name is there, with the parameters that it is called with. An upgrade that changes one shows here."""
    client = Client(CallbackAPIVersion.VERSION2)
    for name in wire.PRIVATE:
        assert hasattr(client, name), name
    for name, parameters in PARAMETERS.items():
        assert list(inspect.signature(getattr(Client, name)).parameters) == parameters
    packet = {"command", "packet", "remaining_length", "pos"}
    assert packet <= set(client._in_packet)


def test_the_list_is_complete() -> None:
    """The source of the module names nothing private of paho that is not listed."""
    source = inspect.getsource(wire)
    plain = Client(CallbackAPIVersion.VERSION2)
    own = {name for name in (*dir(Client), *vars(plain)) if name.startswith("_") and not name.startswith("__")}
    used = {name for name in own if f"self.{name}" in source or f"def {name}(" in source}
    assert {
        name for name in used if f"self.{name}(" in source or f"self.{name}\n" in source or f"def {name}(" in source
    } <= {*wire.PRIVATE, "_protocol", "_sock"}


def test_no_name_of_ours_hides_one_of_paho() -> None:
    """The subclass overrides what it means to override and nothing else."""
    plain = Client(CallbackAPIVersion.VERSION2)
    ours = WireClient(CallbackAPIVersion.VERSION2)
    methods = set(vars(WireClient)) & set(dir(Client)) - set(dir(object))
    assert methods - {"__module__", "__doc__"} == {"_handle_pingresp", "_packet_read", "_send_pingreq"}
    assert not set(vars(WireClient)) & set(vars(plain))
    assert not (set(vars(ours)) - set(vars(plain))) & set(dir(Client))


def test_an_answer_that_nobody_asked_for_proves_nothing_later() -> None:
    """A PINGRESP without a PINGREQ is not the answer to the next PINGREQ: --leave goes by these answers."""
    client = WireClient(CallbackAPIVersion.VERSION2)
    client.begin(1)
    client._decoder.feed(b"\xd0\0\xd0\0")
    client._packet_read()
    client.ping()
    assert client.received_before_pong is None
    client._decoder.feed(b"\xd0\0")
    client._packet_read()
    assert client.received_before_pong == 0
