"""The routes of a processor."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq.errors import SettingsError
from fmq_processor.routes import Route, load_routes
from fmq_processor.settings import ProcessorSettings

MODULE = """
from fmq.service.settings import HandlerSettings, setting

class ShopSettings(HandlerSettings):
    shop_url: str = setting(..., about="", expected="a URL such as https://shop.example")
    def misfits(self, *, calls, seconds):
        return [f"FMQ_SHOP_URL: {calls} calls"] if calls > 20 else []

class Shop:
    Settings = ShopSettings
    def __init__(self, settings, registry):
        self.settings = settings
    async def handle(self, message):
        pass

def store(message):
    pass
"""
EXAMPLE = """
[[route]]
queues = ["sensors/#"]
handler = "mine:store"
batch = 100
[[route]]
name = "fire"
queues = ["alarms/+"]
topics = ["alarms/fire"]
handler = "webhook"
webhook.url = "https://example.com/hook"
max_retries = 10
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    yield
    sys.modules.pop("mine", None)


def routes(text: str, environ: dict[str, str] | None = None, **flags: object) -> tuple[Route, ...]:
    """The routes of a file."""
    Path("fmq.toml").write_text(text, encoding="utf-8")
    return load_routes(flags, environ or {})[1]


def problems(text: str, environ: dict[str, str] | None = None, **flags: object) -> list[str]:
    """What is wrong with a file."""
    with pytest.raises(SettingsError) as caught:
        routes(text, environ, **flags)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_without_a_file_there_is_one_route() -> None:
    """It is called main, has every message of the settings' queues, and the settings of the process."""
    settings, found = load_routes({"batch": "7"}, {"FMQ_TOPICS": "a,$share/g/b"})
    assert [one.name for one in found] == ["main"]
    assert found[0].settings == settings == found[0].choice.processor
    assert (settings.batch, settings.queues, found[0].topics) == (7, ("a", "b"), ())
    assert found[0].choice.definition.name == "log"


def test_a_file_without_routes() -> None:
    """The processor's table says which handler, with its settings; variables and flags win."""
    text = '[processor]\nqueues = ["a"]\nhandler = "mine:Shop"\nshop.url = "file"\nbatch = 5\n'
    (one,) = routes(text, {"FMQ_SHOP_URL": "variable"})
    assert (one.name, one.settings.queues, one.settings.batch) == ("main", ("a",), 5)
    assert one.choice.settings is not None
    assert one.choice.settings.model_dump() == {"shop_url": "variable"}
    (one,) = routes(text, {"FMQ_TOPICS": "b"}, batch="6")
    assert (one.settings.queues, one.settings.batch) == (("b",), 6)


def test_the_routes_of_the_example() -> None:
    """Each has its own settings, its handler with that one's, and a name; the others are those of the process."""
    first, fire = routes(EXAMPLE)
    assert (first.name, first.topics, first.choice.definition.name) == ("store sensors/#", (), "mine:store")
    assert (first.settings.queues, first.settings.batch, first.settings.max_retries) == (("sensors/#",), 100, 3)
    assert (fire.name, fire.topics, fire.settings.queues) == ("fire", ("alarms/fire",), ("alarms/+",))
    assert (fire.settings.batch, fire.settings.max_retries) == (10, 10)
    assert fire.choice.processor is fire.settings
    assert fire.choice.settings is not None
    assert fire.choice.settings.model_dump()["webhook_url"] == "https://example.com/hook"


def test_what_counts_for_all_routes() -> None:
    """The processor's table, and variables and flags before it; a route's own value before the table's."""
    text = '[processor]\nbatch = 5\nlog_level = "DEBUG"\nwebhook.url = "https://all"\n[store]\nbusy_seconds = 7\n'
    text += (
        '[[route]]\nqueues = ["a"]\nhandler = "webhook"\nbatch = 6\n[[route]]\nqueues = ["b"]\nhandler = "webhook"\n'
    )
    text += 'webhook.url = "https://b"\n'
    first, second = routes(text)
    assert [one.settings.batch for one in (first, second)] == [6, 5]
    urls = [one.choice.settings.model_dump()["webhook_url"] for one in (first, second) if one.choice.settings]
    assert urls == ["https://all", "https://b"]
    assert {(one.settings.log_level, one.settings.busy_seconds) for one in (first, second)} == {("DEBUG", 7)}
    first, second = routes(text, {"FMQ_SLEEP": "3s", "FMQ_LOG_LEVEL": "ERROR"}, max_retries="9")
    assert {(one.settings.sleep, one.settings.log_level, one.settings.max_retries) for one in (first, second)} == {
        (3, "ERROR", 9)
    }


def test_a_variable_that_would_replace_a_routes_own_value() -> None:
    """Is refused if there are several routes, since it is not clear which one is meant; the only one it replaces."""
    text = '[[route]]\nqueues = ["a"]\nhandler = "webhook"\nwebhook.url = "https://a"\nbatch = 6\n'
    (one,) = routes(text, {"FMQ_WEBHOOK_URL": "https://x", "FMQ_BATCH": "7"}, topics=("b",))
    assert one.choice.settings is not None
    assert one.choice.settings.model_dump()["webhook_url"] == "https://x"
    assert (one.settings.batch, one.settings.queues) == (7, ("b",))
    both = text + '[[route]]\nqueues = ["b"]\n'
    why = "would count for all 2 routes, but one has a value of its own (fmq.toml:{}): leave it out, or change the file"
    assert f"FMQ_HANDLER {why.format(3)}" in problems(both, {"FMQ_HANDLER": "log"})
    assert problems(both, {"FMQ_BATCH": "7"}) == [f"FMQ_BATCH {why.format(5)}"]
    assert problems(both, {"FMQ_WEBHOOK_URL": "https://x"}) == [f"FMQ_WEBHOOK_URL {why.format(4)}"]
    assert f"--topics {why.format(2)}" in problems(both, topics=("a",))


def test_topics_of_a_listener_in_the_same_environment() -> None:
    """Have no effect on routes: these say themselves what they serve."""
    text = '[[route]]\nqueues = ["a"]\n[[route]]\nqueues = ["b"]\n'
    assert [one.settings.queues for one in routes(text, {"FMQ_TOPICS": "x,y"})] == [("a",), ("b",)]
    text = '[processor]\nqueues = ["q"]\n[[route]]\nbatch = 3\n'
    assert [one.settings.queues for one in routes(text, {"FMQ_TOPICS": "x,y"})] == [("q",)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[[route]]\nhandler = "mine:store"\n', ["store"]),
        ('[[route]]\nqueues = ["a", "b"]\n', ["log a,b"]),
        ('[[route]]\nqueues = ["#"]\ntopics = "x, y"\n', ["log x,y"]),
        ('[[route]]\nname = "ä b"\n', ["ä b"]),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    """A route's own, or one of its handler and what it gets, which does not change with other routes."""
    assert [one.name for one in routes(text)] == names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[[route]]\nname = "x"\nqueues = ["a"]\n[[route]]\nname = "x"\nqueues = ["b"]\n',
            "fmq.toml:4: the route of fmq.toml:1 is also called x: expected another name for one of them",
        ),
        ('[[route]]\nname = ""\n', "fmq.toml:2: name='': expected a short text such as fire"),
        ("[[route]]\nname = 3\n", "fmq.toml:2: name=3: expected a short text such as fire"),
        ('[[route]]\nname = "a\\nb"\n', "fmq.toml:2: name='a\\nb': expected a short text such as fire"),
        (
            '[[route]]\ntopics = ["a#"]\n',
            (
                "fmq.toml:2: topics: 'a#' has a wildcard next to other characters: + and # have to fill a whole level; "
                "expected topic filters such as alarms/+"
            ),
        ),
        (
            '[[route]]\nwebhook.url = "https://x"\n',
            "fmq.toml:2: the settings of webhook have no effect, since the handler of this route is 'log'",
        ),
        (
            '[[route]]\nhandler = "webhook"\n',
            "fmq.toml:1: webhook.url (FMQ_WEBHOOK_URL) is not set: expected https://host/path or http://host:8080/path",
        ),
        (
            '[[route]]\nhandler = "mine:Shop"\nshop.url = "x"\nshop.size = 3\n',
            "fmq.toml:4: unknown key size in [route.shop].",
        ),
        (
            "[[route]]\nqueues = []\n",
            "fmq.toml:2: queues=[]: it names nothing; expected the names of queues, such as sensors/+/temp,alerts/#",
        ),
        (
            '[[route]]\nqueues = ["a", 3]\n',
            "fmq.toml:2: queues=['a', 3]: 3 is not a text in quotes; expected the names of queues, such as sensors/+/temp,alerts/#",
        ),
        (
            '[[route]]\nqueues = {a = "b"}\n',
            "fmq.toml:2: queues={'a': 'b'}: it is a table; expected the names of queues, such as sensors/+/temp,alerts/#",
        ),
        (
            '[[route]]\ntopics = ["a", ""]\n',
            "fmq.toml:2: topics=['a', '']: it has an empty text; expected topic filters such as [\"alarms/+\"]",
        ),
        (
            "[[route]]\ntopics = []\n",
            'fmq.toml:2: topics=[]: it names nothing; expected topic filters such as ["alarms/+"]',
        ),
        (
            '[[route]]\nhandler = ""\n',
            (
                "fmq.toml:2: handler='': expected package.module:function, or one of exec, file, log, mqtt, queue, sql, webhook"
            ),
        ),
        (
            f'[[route]]\nname = "{"x" * 300}"\n',
            f"fmq.toml:2: name='{'x' * 199}… (302 characters): expected a short text such as fire",
        ),
        ('[[route]]\nhandler = "mine:no"\n', "fmq.toml:1: the handler 'mine:no' does not exist: mine has no 'no'"),
        (
            '[[route]]\nbatch = "ten"\n',
            "fmq.toml:2: batch='ten': expected a whole number from 1 to 100000, such as 100",
        ),
        (
            '[[route]]\nhandler = "queue"\nqueue.target_url = "sqlite:///mqtt_queue.db"\nqueues = ["a"]\n',
            (
                "fmq.toml:1: FMQ_QUEUE_TARGET_URL='sqlite:///mqtt_queue.db': this is the processor's own store, and its queue 'a' "
                "would be moved to a queue that it serves itself; expected the URL of another store, or FMQ_TOPICS without the "
                "target's queues"
            ),
        ),
    ],
)
def test_mistakes(text: str, told: str) -> None:
    """Each is reported with its line and what is expected."""
    assert problems(text) == [told]


def test_mistakes_of_all_routes_are_reported_together() -> None:
    """With those of the process and of the environment, each once."""
    text = '[processor]\nlog_level = "LOUD"\n[[route]]\nqueues = ["a"]\nbatch = 0\n[[route]]\nqueues = ["b"]\nhandler = "webhook"\n'
    told = problems(text, {"FMQ_SLEEP": "x", "FMQ_BATHC": "1"}, shop_url="x")
    assert [one.split("=")[0].split(":")[0 if one[0] != "f" else 1] for one in told] == [
        "2",
        "FMQ_SLEEP",
        "5",
        "6",
        "--shop-url",
        "Unknown setting FMQ_BATHC. Did you mean FMQ_BATCH?",
    ]


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        ('queues = ["a"]', 'queues = ["b"]', True),
        ('queues = ["a"]', "", True),  # the rest
        ('queues = ["#"]\ntopics = ["x/+"]', 'queues = ["#"]', True),
        ('queues = ["#"]\ntopics = ["x/+"]', 'queues = ["#"]\ntopics = ["x/#"]', True),
        ('topics = ["x"]', "", True),
        ('queues = ["a", "b"]', 'queues = ["b", "c"]', False),
        ("", 'queues = ["a"]', False),
        ("", 'topics = ["x"]', False),
        ('queues = ["#"]\ntopics = ["x/#"]', 'queues = ["#"]\ntopics = ["x/+"]', False),
        ('queues = ["#"]\ntopics = ["y", "x/+"]', 'queues = ["#"]\ntopics = ["x/1", "x/2"]', False),
        ('queues = ["a"]\ntopics = ["#"]', 'queues = ["a"]', False),
        ('queues = ["a"]', 'queues = ["$share/g/a"]', False),
    ],
)
def test_a_route_that_gets_nothing(first: str, second: str, *, reached: bool) -> None:
    """Is refused, with the route that has its messages; one without queues has what is left."""
    text = f'[[route]]\nname = "one"\n{first}\n[[route]]\nname = "two"\n{second}\n'
    if reached:
        assert len(routes(text)) == 2
    else:
        (told,) = problems(text)
        assert "the route two gets no message" in told
        assert "since the route one (fmq.toml:1) has them" in told


@pytest.mark.parametrize(
    ("queues", "topics", "told"),
    [
        (["alarms/+"], ["alarms/fire", "alarms/+"], []),
        (["alarms/+"], ["+/fire", "#"], []),
        (["a/+/c", "b"], ["a/b/#", "b/#"], []),
        (["$share/g/alarms/+"], ["alarms/fire"], []),
        (["$quarantine"], ["alarms/fire"], []),
        (
            ["alarms/+"],
            ["sensors/#", "alarms/fire"],
            ["fmq.toml:3: topics: sensors/# is in none of the queues: expected topics within the queues"],
        ),
        (
            ["alarms/+", "sensors/#"],
            ["alarms/fire"],
            [
                "fmq.toml:3: topics: none of them matches a message of the queue sensors/#: expected topics within the queues"
            ],
        ),
        (["alarms/+"], ["alarms/+/x"], ["fmq.toml:3: topics: none of them matches a message of the queue alarms/+: "]),
    ],
)
def test_topics_that_match_nothing(queues: list[str], topics: list[str], told: list[str]) -> None:
    """Of a queue, are refused, unless other things than a listener fill it."""
    text = f'[[route]]\nqueues = {queues}\ntopics = {topics}\nname = "r"\n'
    if not told:
        assert len(routes(text)) == 1
        return
    assert told[0] in "\n".join(problems(text))
    assert len(routes(f'[listener]\ntopics = "other"\n{text}')) == 1


def test_a_handler_that_does_not_fit_its_route() -> None:
    """The error says which route."""
    text = '[[route]]\nqueues = ["a"]\n[[route]]\nhandler = "mine:Shop"\nshop.url = "x"\nbatch = 21\n'
    _, shop = routes(text)
    with pytest.raises(SettingsError, match=r"settings:\n  fmq.toml:3: FMQ_SHOP_URL: 21 calls$"):
        shop.choice.make(CollectorRegistry())


def test_the_log_is_set_up_once_before_the_handlers_are_imported() -> None:
    """With the settings of the process."""
    Path("fmq.toml").write_text(EXAMPLE)
    seen: list[tuple[bool, str]] = []

    def note(settings: ProcessorSettings) -> None:
        seen.append(("mine" in sys.modules, settings.log_level))

    load_routes({}, {"FMQ_LOG_LEVEL": "ERROR"}, before_import=note)
    assert seen == [(False, "ERROR")]
    assert logging.getLevelName("ERROR") == logging.ERROR
