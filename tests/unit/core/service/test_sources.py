"""Settings from flags, environment and the configuration file together."""

import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from fmq.errors import SettingsError
from fmq.service.config.exposure import log_config
from fmq.service.config.places import home, places
from fmq.service.environment import Reading, load
from fmq.service.inventory import handlers, services
from fmq.service.settings import HandlerSettings, StoreSettings
from fmq_listener.settings import ListenerSettings
from fmq_processor.handlers.webhook.settings import WebhookSettings
from fmq_processor.settings import ProcessorSettings
from fmq_web.settings import WebSettings


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "fmq.toml") -> None:
    """Write a configuration file that only its owner can read."""
    Path(name).write_text(text, encoding="utf-8")
    Path(name).chmod(0o600)


def problems(model: type[StoreSettings], environ: dict[str, str], **flags: object) -> list[str]:
    """What is wrong, without the first line."""
    with pytest.raises(SettingsError) as caught:
        load(model, flags, environ, strict=True)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_flag_then_variable_then_file_then_default() -> None:
    """Each source wins over those after it; an empty variable is as good as none."""
    write('[listener]\ntopics = ["a,b", "c"]\ninflight = 1\n[store]\nurl = "sqlite:///file.db"\nbusy_seconds = "2m"')
    settings = load(ListenerSettings, {}, {})
    assert (settings.topics, settings.inflight, settings.queue_url) == (("a,b", "c"), 1, "sqlite:///file.db")
    assert (settings.busy_seconds, settings.keepalive_seconds) == (120, 60)
    environ = {"FMQ_INFLIGHT": "2", "FMQ_QUEUE_URL": "", "FMQ_TOPICS": "d,e"}
    settings = load(ListenerSettings, {"topics": ("f",)}, environ)
    assert (settings.topics, settings.inflight, settings.queue_url) == (("f",), 2, "sqlite:///file.db")
    assert load(ListenerSettings, {"inflight": "3"}, environ).inflight == 3


def test_which_file() -> None:
    """A flag's, else a variable's, else the one in the working directory; and the settings say which was named."""
    write("[service]\ngrace_seconds = 1")
    write("[service]\ngrace_seconds = 2", "other.toml")
    write("[service]\ngrace_seconds = 3", "third.toml")
    assert load(WebSettings, {}, {}).grace_seconds == 1
    named = load(WebSettings, {}, {"FMQ_CONFIG": "other.toml"})
    assert (named.grace_seconds, named.config) == (2, "other.toml")
    assert load(WebSettings, {"config": "third.toml"}, {"FMQ_CONFIG": "other.toml"}).grace_seconds == 3
    assert load(WebSettings, {}, {"FMQ_CONFIG": "/dev/null"}).grace_seconds == 30
    assert problems(WebSettings, {}, config="no.toml") == [
        "--config='no.toml': can't be read (No such file or directory); expected the path of a TOML file"
    ]


def test_a_services_own_table() -> None:
    """What is in [service] counts for every service, unless the table of one has it too."""
    write('[service]\nlog_level = "ERROR"\n[web]\nlog_level = "DEBUG"\nport = 80\n[listener]\ntopics = ["a"]\n')
    assert load(WebSettings, {}, {}).log_level == "DEBUG"
    assert load(WebSettings, {}, {}).web_port == 80
    assert load(ListenerSettings, {}, {}).log_level == "ERROR"
    assert load(WebSettings, {}, {"FMQ_LOG_LEVEL": "INFO"}).log_level == "INFO"


def test_every_setting_has_its_own_place() -> None:
    """No two settings share one, and all of them but --config and the topics of no service in particular have one."""
    found: dict[object, str] = {}
    for model in (*services().values(), *handlers(()).values()):
        for name in model.model_fields:
            place = home(model, name)
            if name == "config":
                assert place is None
                continue
            assert place is not None
            assert found.setdefault((issubclass(model, HandlerSettings), place), name) == name
    assert list(places(ProcessorSettings, "batch", 2)) == [("route", 2, "batch"), ("processor", "batch")]
    assert list(places(ProcessorSettings, "upkeep", 2)) == [("processor", "upkeep")]
    assert list(places(ProcessorSettings, "log_level", 2)) == [("processor", "log_level"), ("service", "log_level")]
    assert list(places(WebhookSettings, "webhook_url", 0)) == [
        ("route", 0, "webhook", "url"),
        ("processor", "webhook", "url"),
    ]


def test_all_problems_are_reported_together() -> None:
    """Of the file, the environment and the flags, each with its place; passwords are hidden."""
    write(
        '[broker]\nurl = "amqp://me:pass@x"\npasword = "x"\n[listener]\ntopics = ["a/#/b"]\ninflight = true\n'
        "[service]\ngrace_seconds = nan\n[store]\nmmap_bytes = 99999999999999999999999999\nbusy_seconds = [1, 2]\n"
    )
    told = problems(ListenerSettings, {"FMQ_LOG_LEVEL": "LOUD", "FMQ_BATHC": "1", "FMQ_COLOUR": "x"}, http_port="x")
    assert told[0].startswith("fmq.toml:10: mmap_bytes='99999999999999999999999999': ")
    assert told[1] == "fmq.toml:11: busy_seconds='1,2': expected a time above 0, such as 10s"
    assert told[2].startswith("fmq.toml:2: url='amqp://me:(hidden)@x': it must start with one of")
    assert told[3:] == [
        "--http-port='x': expected a port from 0 to 65535, such as 9464",
        "FMQ_LOG_LEVEL='LOUD': expected DEBUG, INFO, WARNING or ERROR",
        "fmq.toml:8: grace_seconds='nan': expected a time, 0 or more, such as 30s",
        (
            "fmq.toml:5: topics='a/#/b': 'a/#/b' has # before its last level; expected one topic filter or more, such as dstdb or "
            "sensors/+/temp,alerts/# or $share/group/dstdb"
        ),
        "fmq.toml:6: inflight='true': expected a whole number from 1 to 65535, such as 10000",
        "fmq.toml:3: unknown key pasword in [broker]. Did you mean password?",
        "Unknown setting FMQ_BATHC. Did you mean FMQ_BATCH?",
        (
            "Unknown setting FMQ_COLOUR. Nothing reads it: remove it. If your own handler reads it, name the handler in FMQ_HANDLER "
            "or in the configuration file"
        ),
    ]


def test_a_file_that_cannot_be_read_hides_no_other_problem() -> None:
    """Nor does it make one of a setting that may stand in it."""
    write("[listener\n")
    assert problems(ListenerSettings, {"FMQ_INFLIGHT": "0", "FMQ_COLOUR": "x"}) == [
        "fmq.toml:1:10: Expected ']' at the end of a table declaration",
        "FMQ_INFLIGHT='0': expected a whole number from 1 to 65535, such as 10000",
    ]


def test_variables_of_a_handler_that_is_not_loaded_here() -> None:
    """An unknown variable may be of the user's own handler, if one is named anywhere; a misspelt one is refused all the same."""
    environ = {"FMQ_TOPICS": "a", "FMQ_SHOP_URL": "x"}
    assert load(ListenerSettings, {}, environ).topics == ("a",)
    assert problems(ListenerSettings, environ)[0].startswith("Unknown setting FMQ_SHOP_URL. ")
    load(ListenerSettings, {}, {**environ, "FMQ_HANDLER": "shop:Shop"}, strict=True)
    write('[[route]]\nhandler = "shop:Shop"\nshop.url = "x"')
    load(ListenerSettings, {}, environ, strict=True)
    assert problems(ListenerSettings, {**environ, "FMQ_BATHC": "1"}) == [
        "Unknown setting FMQ_BATHC. Did you mean FMQ_BATCH?"
    ]


def test_secrets() -> None:
    """They may stand in the file or in one that it names; a variable of either kind wins; both in the file are refused."""

    def read(environ: dict[str, str]) -> str | None:
        return load(ListenerSettings, {}, environ).password

    Path("secret").write_text("from a file\n")
    write('[broker]\nusername = "me"\npassword = "in the file"\n[listener]\ntopics = ["a"]\n')
    assert read({}) == "in the file"
    assert read({"FMQ_BROKER_PASSWORD_FILE": "secret"}) == "from a file"
    write('[broker]\nusername = "me"\npassword_file = "secret"\n[listener]\ntopics = ["a"]\n')
    assert read({}) == "from a file"
    settings = load(ListenerSettings, {}, {})
    Path("secret").write_text("replaced\n")
    assert (settings.password, read({"FMQ_BROKER_PASSWORD": "x"})) == ("replaced", "x")
    write('[broker]\nusername = "me"\npassword_file = "no"\n[listener]\ntopics = ["a"]\n')
    (told,) = problems(ListenerSettings, {})
    assert told.startswith("fmq.toml:3: password_file='no': can't be read")
    write('[broker]\nusername = "me"\npassword_file = "secret"\npassword = "hunter2"\n[listener]\ntopics = ["a"]\n')
    assert problems(ListenerSettings, {}) == [
        "fmq.toml:3: password_file and password are both given: expected one of them"
    ]
    write('[web]\npassword = "hunter2"\n')
    (told,) = problems(WebSettings, {})
    assert told.startswith("fmq.toml:2: password=(hidden): ")


def test_a_change_of_the_file_has_no_effect() -> None:
    """Settings that were read stay as they are."""
    write("[service]\ngrace_seconds = 1")
    reading = Reading({}, {})
    settings = reading.read(WebSettings)
    write("[service]\ngrace_seconds = 2")
    assert settings is not None
    assert (settings.grace_seconds, reading.read(ListenerSettings, 0)) == (1, None)
    assert reading.file.value(("service", "grace_seconds")) == 1


def test_numbers_with_units_in_flags_and_variables() -> None:
    """As in the file; fractions of what has none are refused."""
    settings = load(ProcessorSettings, {"lease_seconds": "5m"}, {"FMQ_BATCH_BYTES": "1MiB", "FMQ_SLEEP": "250ms"})
    assert (settings.lease_seconds, settings.batch_bytes, settings.sleep) == (300, 1_048_576, 0.25)
    assert load(ProcessorSettings, {}, {"FMQ_RETENTION_SECONDS": "2w"}).retention_seconds == 1_209_600
    assert load(ProcessorSettings, {}, {"FMQ_RETENTION_SECONDS": "forever"}).retention_seconds is None
    told = problems(ProcessorSettings, {"FMQ_BATCH_BYTES": "1.0001KiB", "FMQ_SLEEP": "5MiB", "FMQ_LEASE_SECONDS": "2x"})
    assert [one.split("=")[0] for one in told] == ["FMQ_BATCH_BYTES", "FMQ_SLEEP", "FMQ_LEASE_SECONDS"]


def test_secrets_that_everybody_can_read(caplog: pytest.LogCaptureFixture) -> None:
    """A file with a secret or a URL with a password is remarked on if others can read it, without the secret."""
    caplog.set_level(logging.INFO)
    write(
        '[broker]\nurl = "mqtt://a:hunter2@x"\npassword = "hunter2"\npassword_file = "x"\n'
        '[[route]]\nwebhook.secrets = "hunter2"\nhandler = "webhook"\n'
    )
    assert Reading({}, {}).remarks() == []
    Path("fmq.toml").chmod(0o604)
    remarks = Reading({}, {}).remarks()
    assert [one.split(" has a secret")[0] for one in remarks] == [
        "fmq.toml:2: url",
        "fmq.toml:3: password",
        "fmq.toml:6: webhook.secrets",
    ]
    log_config(None)
    assert "Read settings from fmq.toml" in caplog.text
    assert caplog.text.count("WARNING") == 3
    assert "hunter2" not in caplog.text
    caplog.clear()
    Path("fmq.toml").unlink()
    log_config(None)
    log_config("no.toml")
    assert caplog.text == ""


def test_a_secrets_value_is_not_shown() -> None:
    """Neither in the text of what was read nor of the settings."""
    write('[broker]\nusername = "me"\npassword = "hunter2"\n[listener]\ntopics = ["a"]\n')
    settings = load(ListenerSettings, {}, {})
    assert settings.broker_password == SecretStr("hunter2")
    assert "hunter2" not in repr(settings)
