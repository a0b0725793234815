"""Configuration files with any values in any place: an error that people can read, and never another one."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmq.cli.common.as_file import write
from fmq.errors import SettingsError
from fmq.service.config.strangers import schema
from fmq.service.environment import Reading, load
from fmq.service.inventory import effective, in_use
from fmq_processor.routes import load_routes
from fmq_web.settings import WebSettings

SCALARS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        ["log", "webhook", "a/#", "1d", "64MiB", "forever", "FULL", "sqlite:///q.db", "$share/g/a", "nan", "é\x7f"]
    ),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def table(known: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some keys of a table, with whatever values."""
    return st.dictionaries(st.sampled_from(sorted(known["properties"])) | st.text(max_size=3), VALUES, max_size=4)


def files() -> st.SearchStrategy[dict[str, Any]]:
    """Whole files."""
    found = {}
    for name, known in schema()["properties"].items():
        inside = st.lists(table(known["items"]), max_size=3) if "items" in known else table(known)
        found[name] = inside | VALUES
    return st.fixed_dictionaries({}, optional=found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files())
def test_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, Any]) -> None:
    """It is read, or refused with lines that name it; what is effective can be shown all the same."""
    monkeypatch.chdir(tmp_path)
    text = "\n".join(f"{json.dumps(name)} = {line}" for name, line in inline(tables))
    assert tomllib.loads(text) == tables
    Path("fmq.toml").write_text(text, encoding="utf-8")
    for read in (lambda: load_routes({}, {}), lambda: load(WebSettings, {}, {})):
        assert refusal(read)[:18] in ("", "Invalid settings:\n")
    reading = Reading({}, {})
    for section in in_use(reading).values():
        effective(section, reading)


def refusal(read: Callable[[], object]) -> str:
    """What the error says; nothing if there is none."""
    try:
        read()
    except SettingsError as error:
        return str(error)
    return ""


def inline(tables: dict[str, Any]) -> list[tuple[str, str]]:
    """Each table in one line."""
    return [
        (name, write({"x": {"y": [value]}}, {}).split("\n")[1].removeprefix("y = [")[:-1])
        for name, value in tables.items()
    ]
