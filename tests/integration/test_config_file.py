"""Services with a configuration file, as a user runs them."""

from pathlib import Path

from support.broker import Broker, publish
from support.processes import Processes
from support.wait import wait_for

HANDLER = """
def note(message):
    with open("seen", "ab") as file:
        file.write(message.payload + b"\\n")
"""


def test_a_listener_and_a_processor_without_arguments(fmq: Processes, broker: Broker) -> None:
    """They find the file in their folder, log that, and go on as they are when it changes."""
    (fmq.folder / "mine.py").write_text(HANDLER)
    file = fmq.folder / "fmq.toml"
    file.write_text(
        f'[broker]\nurl = "{broker.url}"\n[listener]\ntopics = ["a/#"]\n'
        '[[route]]\nqueues = ["a/#"]\nhandler = "mine:note"\nsleep = "100ms"\n'
    )
    listener = fmq.start("listen")
    listener.wait_to_say("subscribed successfully")
    processor = fmq.start("process")
    processor.wait_to_say("Starting processor")
    publish(broker.port, [("a/b", b"one")])
    seen = fmq.folder / "seen"
    wait_for(seen.exists, what="a handled message")
    file.write_text("[broken\n")
    publish(broker.port, [("a/b", b"two")])
    wait_for(lambda: seen.read_bytes() == b"one\ntwo\n", what="the second message")
    for service in (listener, processor):
        (told,) = service.said("Read settings")
        assert told["message"] == "Read settings from fmq.toml"
        assert service.terminate() == 0


def test_mistakes_end_every_service(fmq: Processes) -> None:
    """With exit code 2 and one message of everything that is wrong, without a traceback."""
    (fmq.folder / "fmq.toml").write_text("[listener]\ninflihgt = 5\n[web]\nport = 'x'\n[processor]\nbatch = 0\n")
    wrong = {"FMQ_BATHC": "1", "FMQ_TOPICS": "a", "FMQ_LOG_FORMAT": "text"}
    started = {name: fmq.start(name, **wrong) for name in ("listen", "process", "web")}
    own = {"process": "fmq.toml:6: batch='0': ", "web": "fmq.toml:4: port='x': "}
    for name, service in started.items():
        assert service.wait() == 2
        assert service.text.startswith("fmq: Invalid settings:\n")
        assert "fmq.toml:2: unknown key inflihgt in [listener]. Did you mean inflight?" in service.text
        assert "Unknown setting FMQ_BATHC. Did you mean FMQ_BATCH?" in service.text
        assert own.get(name, "") in service.text
        assert "Traceback" not in service.text
    assert not list(Path(fmq.folder).glob("*.db"))
