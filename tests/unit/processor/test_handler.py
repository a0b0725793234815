"""Loading a handler from its name."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from fmq.errors import HandlerError, SettingsError
from fmq.handler import find_handler
from support.handlers import load_handler

BUILTIN = {"log": "fmq_processor.handlers.log:handle"}
MODULE = """
import functools
from prometheus_client import Counter
from fmq import batch_handler
from fmq.errors import SettingsError
from fmq.service.settings import HandlerSettings, setting

def setup(): pass
def handle(message): pass
async def handle_async(message): pass
partial = functools.partial(handle_async)
constant = 5

@batch_handler
def handle_batch(messages): pass

class WithHooks:
    def setup(self): pass
    def handle(self, message): return self
    async def teardown(self): pass

class AsyncBatch:
    @batch_handler
    async def handle(self, messages): pass

class Called:
    async def __call__(self, message): pass

class NeedsArguments:
    def __init__(self, url): pass

class ShopSettings(HandlerSettings):
    shop_url: str = setting("", about="", expected="")

class Shop:
    Settings = ShopSettings
    def __init__(self, settings, registry):
        if not settings.shop_url:
            raise SettingsError("FMQ_SHOP_URL: no such shop")
        self.url, self.sold = settings.shop_url, Counter("fmq_shop_sold", "Sold.", registry=registry)
    def know_store(self, identity): self.url = f"{self.url}/{identity}"
    def handle(self, message): return self.url

class StrangeSettings:
    Settings = {"url": ""}
    def handle(self, message): pass

class WithoutHandle: pass
called = Called()
made = WithHooks()
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "user_code.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "broken_code.py").write_text("raise ValueError('no such sensor')", encoding="utf-8")
    (tmp_path / "json.py").write_text("def handle(message): ...", encoding="utf-8")
    (tmp_path / "leaving_code.py").write_text("import sys; sys.exit(0)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    for name in ("user_code", "broken_code", "leaving_code"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    yield
    for name in ("user_code", "broken_code", "leaving_code"):
        __import__("sys").modules.pop(name, None)


@pytest.mark.parametrize(
    ("reference", "is_async", "is_batch"),
    [
        ("handle", False, False),
        ("handle_async", True, False),
        ("partial", True, False),
        ("handle_batch", False, True),
        ("WithHooks", False, False),
        ("AsyncBatch", True, True),
        ("called", True, False),
        ("made", False, False),
    ],
)
def test_its_kind_is_seen(reference: str, is_async: bool, is_batch: bool) -> None:  # noqa: FBT001
    """Plain, async, batch; functions, classes, instances."""
    handler = load_handler(f"user_code:{reference}", {})
    assert (handler.is_async, handler.is_batch) == (is_async, is_batch)


def test_hooks_stand_beside_the_function_or_in_the_class() -> None:
    """Each handler has the set-up of its own holder, and one that has none gets none."""
    function = load_handler("user_code:handle", {})
    assert function.setup is not None
    assert function.teardown is None
    of_class = load_handler("user_code:WithHooks", {})
    assert of_class.setup is not None
    assert of_class.setup.__qualname__ == "WithHooks.setup"
    assert of_class.teardown is not None


def test_a_built_in_goes_by_its_name() -> None:
    """The default handler."""
    assert load_handler("log", BUILTIN).name == "log"


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("nothing", "built-in handler (log)"),
        ("user_code:", "package.module:function"),
        (":handle", "package.module:function"),
        ("no_such_module:handle", "ModuleNotFoundError"),
        ("broken_code:handle", "ValueError: no such sensor"),
        ("user_code:missing", "has no 'missing'"),
        ("user_code:constant", "neither a function nor a class"),
        ("user_code:WithoutHandle", "neither a function nor a class"),
        ("user_code:NeedsArguments", "It is called as NeedsArguments(): only a class with Settings gets arguments"),
        ("broken_code:handle", "(line 1 of "),
        ("json:handle", "json.py is not it, since Python finds another module of that name first: rename the file"),
        ("leaving_code:handle", "SystemExit"),
        ("user_code.py:handle_async", "Did you mean 'user_code:handle_async'?"),
        ("./user_code.py", "Did you mean 'user_code:handle'?"),
        ("plant/user_code.py:handle", "Did you mean 'plant.user_code:handle'?"),
        ("/srv/user_code.py:handle", "Did you mean 'user_code:handle'?"),
        ("user_code", "Did you mean 'user_code:handle'?"),
        ("user_code.handle_async", "Did you mean 'user_code:handle_async'?"),
    ],
)
def test_what_is_wrong_is_told(reference: str, told: str) -> None:
    """One clear error that names the reference and the fault."""
    with pytest.raises(HandlerError) as caught:
        load_handler(reference, BUILTIN)
    assert told in str(caught.value)
    assert repr(reference) in str(caught.value)


def test_a_class_is_made_with_the_settings_that_it_asks_for() -> None:
    """With an object of the class that it names, and the registry that its metrics go to."""
    definition = find_handler("user_code:Shop", {})
    assert definition.settings is not None
    registry = CollectorRegistry()
    handler = definition.make(definition.settings.model_validate({"shop_url": "here"}), registry)
    assert handler.handle(None) == "here"
    assert handler.know_store is not None
    handler.know_store(UUID(int=7))
    assert handler.handle(None) == "here/00000000-0000-0000-0000-000000000007"
    assert load_handler("user_code:WithHooks", {}).know_store is None
    assert registry.get_sample_value("fmq_shop_sold_total") == 0
    with pytest.raises(SettingsError, match="no such shop"):
        definition.make(definition.settings(), CollectorRegistry())


def test_a_hook_that_is_not_a_function_is_refused(tmp_path: Path) -> None:
    """Not ignored. A module of that name is none."""
    for number, (line, is_refused) in enumerate(
        [("setup = 5", True), ("teardown = 'x'", True), ("import json as setup", False), ("setup = None", False)]
    ):
        (tmp_path / f"hooked_{number}.py").write_text(f"{line}\ndef handle(message): ...\n", encoding="utf-8")
        if is_refused:
            with pytest.raises(HandlerError, match="that is not a function: rename it, or make it one"):
                load_handler(f"hooked_{number}:handle", {})
        else:
            assert load_handler(f"hooked_{number}:handle", {}).setup is None


def test_settings_that_are_none_are_refused() -> None:
    """Since they would be read from nowhere."""
    with pytest.raises(HandlerError, match="not a subclass of HandlerSettings"):
        _ = find_handler("user_code:StrangeSettings", {}).settings


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("def handle(): pass", r"its signature is \(\)"),
        ("def handle(message, database): pass", r"missing a required argument: 'database'"),
        ("async def handle(*, message): pass", r"can't be called with one argument"),
        ("class Shop:\n def handle(message): pass\nhandle = Shop", "expected handle.self, message."),
        ("class Shop:\n def handle(self): pass\nhandle = Shop()", "expected handle.self, message."),
        ("def handle(message): yield", "is a generator"),
        ("async def handle(message): yield", "is a generator"),
    ],
)
def test_a_wrong_signature_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, wrong: str) -> None:
    """At the start, not with every message."""
    name = f"signature_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HandlerError, match=wrong):
        load_handler(f"{name}:handle", BUILTIN)


@pytest.mark.parametrize(
    "source", ["handle = print", "def handle(*messages): pass", "def handle(message, retries=3): pass", "handle = min"]
)
def test_what_takes_one_argument_is_a_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Also with more that have defaults, and what does not say what it takes."""
    name = f"signature_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert callable(load_handler(f"{name}:handle", BUILTIN).handle)
