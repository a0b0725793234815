"""Unknown variables and keys, and what they were meant to be."""

import json
import re
import tomllib
from collections.abc import Collection

import pytest

from docs.pages import ROOT
from fmq.service.config import strangers
from fmq.service.config.file import ConfigFile
from fmq.service.config.strangers import unknown_keys, unknown_variables
from fmq.service.inventory import handlers, services
from fmq.service.settings import is_secret, variable


def told(text: str, own: Collection[tuple[str, ...]] | None = ()) -> list[str]:
    """What is wrong with a file of this text."""
    return list(unknown_keys(ConfigFile("fmq.toml", tomllib.loads(text), text), own))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[broker]\nurll = "x"', "fmq.toml:2: unknown key urll in [broker]. Did you mean url?"),
        ("[brocker]\n", "fmq.toml:1: unknown table brocker. Did you mean [broker]?"),
        ("[rote]\n", "fmq.toml:1: unknown table rote. Did you mean [[route]]?"),
        ("[colour]\n", "fmq.toml:1: unknown table colour."),
        ("batch = 3", "fmq.toml:1: unknown key batch. Did you mean batch in [processor]?"),
        ('url = "x"', "fmq.toml:1: unknown key url. Did you mean url in [broker]?"),
        ('[broker]\nbroker_url = "x"', "fmq.toml:2: unknown key broker_url in [broker]. Did you mean url in [broker]?"),
        ("FMQ_BATCH = 3", "fmq.toml:1: unknown key FMQ_BATCH. Did you mean batch in [processor]?"),
        ("[store]\ninflight = 3", "fmq.toml:2: unknown key inflight in [store]. Did you mean inflight in [listener]?"),
        (
            "[listener]\nqueues = ['a']",
            "fmq.toml:2: unknown key queues in [listener]. Did you mean queues in [processor]?",
        ),
        ("[[route]]\nbatches = 3", "fmq.toml:2: unknown key batches in [[route]]. Did you mean batch?"),
        (
            "[[route]]\nlog_level = 'INFO'",
            "fmq.toml:2: unknown key log_level in [[route]]. Did you mean log_level in [service]?",
        ),
        (
            "[[route]]\nupkeep = true",
            "fmq.toml:2: unknown key upkeep in [[route]]. Did you mean upkeep in [processor]?",
        ),
        (
            "[[route]]\n[[route]]\nwebhook.urll = 'x'",
            "fmq.toml:3: unknown key urll in [route.webhook]. Did you mean url?",
        ),
        ("[processor.webhok]\n", "fmq.toml:1: unknown table webhok in [processor]. Did you mean webhook?"),
        ("[[route]]\nwebhook = 3", "fmq.toml:2: expected a table: [route.webhook], or keys such as webhook.url"),
        (
            "[[route]]\nqueue = 'a'",
            "fmq.toml:2: expected a table: [route.queue], or keys such as queue.target_url. Did you mean queues?",
        ),
        ("[[route]]\ntopic = 'a'", "fmq.toml:2: unknown key topic in [[route]]. Did you mean topics?"),
        ("[[route]]\nFMQ_BATCH = 3", "fmq.toml:2: unknown key FMQ_BATCH in [[route]]. Did you mean batch?"),
        ("[[route]]\nretries = 3", "fmq.toml:2: unknown key retries in [[route]]. Did you mean max_retries?"),
        ("[[route]]\nwebhook_url = 'a'", "fmq.toml:2: unknown key webhook_url in [[route]]. Did you mean webhook.url?"),
        (
            "[[route]]\nhandler = 'webhook'\nurl = 'a'",
            "fmq.toml:3: unknown key url in [[route]]. Did you mean webhook.url?",
        ),
        (
            "[processor]\nwebhook_url = 'a'",
            "fmq.toml:2: unknown key webhook_url in [processor]. Did you mean webhook.url?",
        ),
        ("[processor]\ntopics = ['a']", "fmq.toml:2: unknown key topics in [processor]. Did you mean queues?"),
        ("[listener]\ntopic = 'a'", "fmq.toml:2: unknown key topic in [listener]. Did you mean topics?"),
        ("[broker]\nhost = 'a'", "fmq.toml:2: unknown key host in [broker]. Did you mean url?"),
        ("[route]\n", "fmq.toml:1: expected [[route]], with two brackets, for each route"),
        ("route = []", "fmq.toml:1: expected [[route]], with two brackets, for each route"),
        ("route = [1]", "fmq.toml:1: expected [[route]], with two brackets, for each route"),
        ("[[broker]]\n", "fmq.toml:1: expected [broker] once, with keys below it"),
        ("broker = 3", "fmq.toml:1: expected [broker] once, with keys below it"),
        ('"a\\u001bb" = 3', "fmq.toml:1: unknown key a\\x1bb."),
        ("[web]\nbatch = 1", "fmq.toml:2: unknown key batch in [web]. Did you mean batch in [processor]?"),
    ],
)
def test_keys(text: str, expected: str) -> None:
    """Each is reported with its line and the nearest name, in its own table first, then where it stands elsewhere."""
    assert told(text) == [expected]


def test_what_is_right() -> None:
    """Nothing is wrong with keys of every table; the keys of [service] may stand in that of a service."""
    text = "[service]\nlog_level = 'INFO'\n[web]\nlog_level = 'INFO'\npassword_file = 'x'\n[[route]]\nname = 'x'\ntopics = []\n"
    assert told(text) == []


def test_a_handler_of_ones_own() -> None:
    """Its keys are known where it is loaded. Elsewhere every table of a route may be one."""
    text = "[[route]]\nshop.url = 'x'\nshop.size = 3\n[processor.shop]\nurl = 'x'\n"
    own = {("shop", "url"), ("shop", "urls")}
    assert told(text, own) == ["fmq.toml:3: unknown key size in [route.shop]."]
    assert told(text, None) == []
    assert told(text) == [
        "fmq.toml:2: unknown table shop in [[route]].",
        "fmq.toml:4: unknown table shop in [processor].",
    ]
    assert told("[[route]]\nshopp = 3\n", None) == ["fmq.toml:2: unknown key shopp in [[route]]."]


def test_variables() -> None:
    """Misspelt ones are reported with what they resemble; those of Kubernetes, Compose and tests are not."""
    allowed = {
        "FMQ_BATCH": "3",
        "FMQ_CONFIG": "x",
        "FMQ_BROKER_PASSWORD_FILE": "x",
        "FMQ_EMPTY": "",
        "FMQ_PORT": "tcp://10.0.0.1:9464",
        "FMQ_PORT_9464_TCP_ADDR": "10.0.0.1",
        "FMQ_SERVICE_HOST": "10.0.0.1",
        "FMQ_SERVICE_PORT_METRICS": "9464",
        "FMQ_TEST_POSTGRES": "none",
        "FMQ_MESSAGE_TOPIC": "t",
        "FMQ_SHOP_URL": "x",
        "HOME": "/",
    }
    environ = {
        **allowed,
        "FMQ_BATHC": "3",
        "FMQ_COLOUR": "red",
        "FMQ_TLS_CERT": "x",
        "FMQ_WEBHOOK_RATE": "5",
        "fmq_batch": "3",
        "fmq_home": "x",
    }
    assert unknown_variables(environ, {"FMQ_SHOP_URL"}) == {
        "FMQ_BATHC": "FMQ_BATCH",
        "fmq_batch": "FMQ_BATCH",
        "FMQ_COLOUR": None,
        "FMQ_TLS_CERT": None,
        "FMQ_WEBHOOK_RATE": "FMQ_RATE_LIMIT",
    }


def test_variables_of_compose() -> None:
    """All that the compose file reads are allowed, since people load its .env into a shell."""
    names = re.findall(r"\$\{(FMQ_\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert names
    assert unknown_variables(dict.fromkeys(names, "x"), ()) == {}


def test_the_schema_has_every_setting() -> None:
    """The packages have the one that the pages have. So every image knows all names."""
    assert strangers.schema() == json.loads((ROOT / "docs/fmq.schema.json").read_text(encoding="utf-8"))
    names = {
        f"{variable(name)}{ending}"
        for model in (*services().values(), *handlers(()).values())
        for name, field in model.model_fields.items()
        for ending in (("", "_FILE") if is_secret(field) else ("",))
    }
    assert unknown_variables(dict.fromkeys(names, "x"), ()) == {}
