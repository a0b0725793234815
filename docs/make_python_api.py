"""Makes docs/python-api.md from the code. With --check, reports whether it is old."""

import enum
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parent / "python-api.md"
PUBLIC = {
    "fmq": ("What handlers need.", None),
    "fmq.errors": (
        "What fmq raises, also from `fmq.testing`.",
        ("FmqError", "HandlerError", "SettingsError", "StoreRefused", "StoreUnavailable"),
    ),
    "fmq.handler": ("Settings of a handler's own.", ("HandlerSettings", "setting")),
    "fmq.message": ("Ids outside a processor.", ("unique_id",)),
    "fmq.store.backends": ("The store, for programs that read it.", ("open_store",)),
    "fmq.testing": ("Tests of handlers.", None),
}
"""The public modules: what they are for, and their public names (None: all in ``__all__``)."""
_WIDTH = 110
_MADE = "<!-- Made from the code by docs/make_python_api.py: change it there. -->\n"
_BEGIN = """
# Python API

The names on this page are public: a release that removes or changes one says so in the changelog, and has a new major version once
there is a version 1. Every other name may change in any release. All packages carry types (`py.typed`).

[Writing a handler](handlers.md) and [Types, state and tests](own-handlers.md) show how to use them.
"""


class Entry(NamedTuple):
    """A public name: its code, with signature and members, and what its docstring says."""

    module: str
    name: str
    code: str
    about: str


def entries() -> Iterator[Entry]:
    """Every public name, by module."""
    for module, (_, names) in PUBLIC.items():
        holder = import_module(module)
        for name in names or sorted(holder.__all__):
            value = getattr(holder, name)
            yield Entry(module, name, _code(name, value), _about(value))


def surface() -> str:
    """All signatures as one text, to compare."""
    return "\n".join(f"# {one.module}\n{one.code}\n" for one in entries())


def page() -> str:
    """The whole page."""
    parts, shown = [_MADE + _BEGIN], ""
    for one in entries():
        if one.module != shown:
            shown = one.module
            parts.append(f"\n## {shown}\n\n{PUBLIC[shown][0]}\n")
        parts.append(f"\n### {one.module}.{one.name}\n\n```python\n{one.code}\n```\n")
        parts += [f"\n{text}\n" for text in (one.about, "\n".join(_members_about(one))) if text]
    return "".join(parts)


def _code(name: str, value: Any) -> str:  # noqa: ANN401 - anything that a module has
    if inspect.isclass(value):
        return "\n".join(
            [_head(name, value), *(f"    {line}" for member in _members(value) for line in member.split("\n"))]
        )
    if inspect.isfunction(value):
        return f"def {name}{_signature(value)}"
    return f"{name} = {_shown(value)}" if not isinstance(value, str) else f"{name}: str"


def _head(name: str, kind: type) -> str:
    if issubclass(kind, tuple):
        return f"class {name}(NamedTuple):"
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object and "[" not in base.__name__)
    return f"{'@dataclass(frozen=True)' + chr(10) if is_dataclass(kind) else ''}class {name}{f'({bases})' if bases else ''}:"


def _members(kind: Any) -> Iterator[str]:  # noqa: ANN401 - a class
    """Fields with their types and defaults, then properties and methods of its own; ``...`` if there are none."""
    lines = [*_fields(kind), *_callables(kind)]
    yield from lines or ["..."]


def _fields(kind: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    if issubclass(kind, enum.Enum):
        yield from (f"{one.name} = {one.value!r}" for one in kind)
    elif issubclass(kind, tuple):
        for name in kind._fields:
            yield _field(name, kind.__annotations__[name], kind._field_defaults.get(name, MISSING))
    elif is_dataclass(kind):
        for one in fields(kind):
            yield _field(one.name, one.type, one.default)


def _field(name: str, kind: object, default: object) -> str:
    return f"{name}: {_shown(kind)}{'' if default is MISSING else f' = {_shown(default)}'}"


def _callables(kind: type) -> Iterator[str]:
    for name, value in vars(kind).items():
        is_own_init = name == "__init__" and not is_dataclass(kind)
        if name.startswith("_") and not is_own_init:
            continue
        if isinstance(value, property):
            assert value.fget is not None  # noqa: S101 - for types
            yield f"{name}: {_shown(inspect.signature(value.fget).return_annotation)}  # property"
        elif inspect.isfunction(value):
            yield f"def {name}{_signature(value)}"


def _signature(function: Any) -> str:  # noqa: ANN401 - a function
    """As in the code, with short names of types; long ones with a line per parameter."""
    signature = inspect.signature(function)
    text = _short(str(signature))
    if len(text) < _WIDTH:
        return text
    lines: list[str] = []
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*," not in lines and not any(line.startswith("*") for line in lines):
            lines.append("*,")
        lines.append(f"{_short(str(one))},")
    returned = _short(inspect.formatannotation(signature.return_annotation))
    return "\n".join(["(", *(f"    {line}" for line in lines), f") -> {returned}"])


def _shown(value: Any) -> str:  # noqa: ANN401 - a type or a value
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if is_dataclass(value) and not inspect.isclass(value):
        return f"{type(value).__name__}()"  # all defaults are
    return _short(inspect.formatannotation(value) if inspect.isclass(value) or "[" in repr(value) else repr(value))


def _short(text: str) -> str:
    """Without the modules of types, and with enum members as they are written."""
    text = re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", text)
    text = re.sub(r"<([\w.]+) object at 0x[0-9a-f]+>", r"\1()", text).replace("~_", "_")
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z_]\w*)", "", text)


def _about(value: Any) -> str:  # noqa: ANN401 - as above
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return ""
    return re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(value.__doc__ or ""))


def _members_about(entry: Entry) -> Iterator[str]:
    """A line for each property and method with a docstring of its own."""
    kind = getattr(import_module(entry.module), entry.name)
    for name, value in vars(kind).items() if inspect.isclass(kind) else ():
        about = inspect.getdoc(value) if isinstance(value, property) or inspect.isfunction(value) else None
        if about and not name.startswith("_"):
            text = " ".join(re.sub(r"``([^`]+)``", r"`\1`", about).split())
            yield f"- `{name}`: {text}"


def main() -> int:
    """Write the page, or with --check compare it. Returns the exit code."""
    made = page()
    if "--check" in sys.argv:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == made:
            return 0
        print(f"{PAGE} is not what the code says: run make fmt")
        return 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
