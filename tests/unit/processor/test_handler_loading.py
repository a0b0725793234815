"""Which handler, and its settings next to the processor's."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

import fmq_processor.handler_loading
from fmq.cli.help import SettingsCommand
from fmq.errors import SettingsError
from fmq.handler import find_handler
from fmq.service.settings import HandlerSettings, setting
from fmq_processor.handler_loading import choose, handler_options
from fmq_processor.handlers import BUILTIN, SETTINGS
from fmq_processor.settings import ProcessorSettings

MODULE = """
from prometheus_client import Counter
from pydantic import SecretStr
from fmq.service.settings import HandlerSettings, setting

class ShopSettings(HandlerSettings):
    shop_url: str = setting(..., about="", expected="a URL such as https://shop.example")
    shop_key: SecretStr | None = setting(None, about="", expected="a key")
    def misfits(self, *, calls, seconds):
        return [f"FMQ_SHOP_URL: {calls} calls for {seconds:g} s"] if calls > 20 else []

class Shop:
    Settings = ShopSettings
    def __init__(self, settings, registry):
        self.settings = settings
        Counter("fmq_shop_sold", "Sold.", registry=registry)
    async def handle(self, message):
        return self.settings.shop_url, self.settings.shop_key.get_secret_value()
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "shop_code.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    yield
    sys.modules.pop("shop_code", None)


def test_a_users_class_has_settings_like_a_built_in(tmp_path: Path) -> None:
    """From the environment, a secret from a file, and metrics in the processor's registry."""
    (tmp_path / "key").write_text("correct horse\n")
    environ = {"FMQ_HANDLER": "shop_code:Shop", "FMQ_SHOP_URL": "https://x", "FMQ_SHOP_KEY_FILE": "key"}
    settings, choice = choose({"batch": "7"}, environ)
    assert settings.batch == 7
    registry = CollectorRegistry()
    assert asyncio.run(choice.make(registry).handle(None)) == ("https://x", "correct horse")
    assert registry.get_sample_value("fmq_shop_sold_total") == 0


def test_all_mistakes_are_told_together() -> None:
    """The processor's, the handler's, and flags of other handlers."""
    with pytest.raises(SettingsError) as caught:
        choose(
            {"handler": "shop_code:Shop", "batch": "none", "other_url": "x"}, {"FMQ_SLEEP": "long", "FMQ_SHOP_URL": ""}
        )
    text = str(caught.value)
    for part in (
        "--batch='none'",
        "FMQ_SLEEP='long'",
        "FMQ_SHOP_URL is not set",
        "--other-url='x': not a setting of the handler",
    ):
        assert part in text
    assert len(text.splitlines()) == 5


def test_settings_that_do_not_fit_the_processors() -> None:
    """A handler is asked once it is known how many calls run at once, which depends on its kind."""
    environ = {"FMQ_HANDLER": "shop_code:Shop", "FMQ_SHOP_URL": "x", "FMQ_BATCH": "21", "FMQ_HANDLER_TIMEOUT": "9"}
    _, choice = choose({}, environ)
    with pytest.raises(SettingsError, match=r"settings:\n  FMQ_SHOP_URL: 21 calls for 9 s$"):
        choice.make(CollectorRegistry())
    assert choose({"concurrency": "20"}, environ)[1].make(CollectorRegistry()).is_async


def test_a_handler_that_is_none_is_told_with_the_rest() -> None:
    """It does not hide what else is wrong."""
    with pytest.raises(SettingsError) as caught:
        choose({"batch": "none"}, {"FMQ_HANDLER": "shop_code:Missing"})
    assert "--batch='none'" in str(caught.value)
    assert "shop_code has no 'Missing'" in str(caught.value)


def test_what_needs_the_settings_comes_before_the_import() -> None:
    """Such as the log's format, for a module that logs while it is imported; not if the settings are wrong."""
    imported: list[bool] = []

    def note(_: ProcessorSettings) -> None:
        imported.append("shop_code" in sys.modules)

    environ = {"FMQ_HANDLER": "shop_code:Shop", "FMQ_SHOP_URL": "x"}
    choose({}, environ, before_import=note)
    assert imported == [False]
    with pytest.raises(SettingsError):
        choose({"batch": "none"}, environ, before_import=note)
    assert imported == [False]


def test_built_ins_have_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each setting but secrets, which the help only names, in a section of the help."""

    class ToySettings(HandlerSettings):
        toy_url: str = setting("", about="Where it is.", expected="a URL")
        toy_loud: bool = setting(False, about="With noise.", expected="true or false")
        toy_key: SecretStr | None = setting(None, about="Its key.", expected="a key")

    monkeypatch.setattr(fmq_processor.handler_loading, "SETTINGS", {"toy": ToySettings})
    got: list[dict[str, Any]] = []

    @click.command(cls=SettingsCommand)
    @handler_options
    def command(**flags: object) -> None:
        got.append(flags)

    CliRunner().invoke(command, ["--toy-url", "x", "--no-toy-loud"], catch_exceptions=False)
    assert got == [{"toy_url": "x", "toy_loud": False}]
    told = CliRunner().invoke(command, ["--help"]).output
    assert "Handler toy:\n  --toy-url TEXT" in told
    assert "[FMQ_TOY_LOUD; default: false]" in " ".join(told.split())


@pytest.mark.parametrize("name", BUILTIN)
def test_each_built_in_can_be_found_and_its_settings_are_its_own(name: str) -> None:
    """The settings of its class are those whose flags there are; their names begin with the handler's."""
    settings = find_handler(name, BUILTIN).settings
    assert settings is SETTINGS.get(name)
    if settings is not None:
        assert all(field.startswith(f"{name}_") for field in settings.model_fields)
        assert not set(settings.model_fields) & set(ProcessorSettings.model_fields)
