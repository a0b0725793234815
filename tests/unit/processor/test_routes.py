"""The routes of a processor."""

from fmq_processor.routes import load_routes


def test_without_a_file_there_is_one_route() -> None:
    """It is called main, has every message of the settings' queues, and the settings of the process."""
    settings, routes = load_routes({"batch": "7"}, {"FMQ_TOPICS": "a,$share/g/b"})
    assert [one.name for one in routes] == ["main"]
    assert routes[0].settings == settings == routes[0].choice.processor
    assert (settings.batch, settings.queues, routes[0].topics) == (7, ("a", "b"), ())
    assert routes[0].choice.definition.name == "log"
