"""Makes the JSON schema of the configuration file from the code. With --check, tells if it is old.

The file is written twice: for editors (docs/fmq.schema.json), and for `fmq config --schema` and the search for misspelt names.
"""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from fmq import quantities
from fmq.service.config.places import EVERY_SERVICE, PROCESSOR, ROUTE, home, places
from fmq.service.config.strangers import HANDLER, VARIABLE
from fmq.service.settings import (
    ServiceSettings,
    SettingsModel,
    StoreSettings,
    detail,
    expected_value,
    is_secret,
    variable,
)
from fmq.service.upkeep import RetentionSettings
from fmq_listener.settings import ListenerSettings
from fmq_processor.handlers import BUILTIN, SETTINGS
from fmq_processor.settings import ProcessorSettings
from fmq_web.settings import WebSettings

HERE = Path(__file__).parent
WRITTEN = (HERE / "fmq.schema.json", HERE.parent / "shared/fmq/service/config/fmq.schema.json")
Schema = dict[str, Any]
_TABLES = {
    "broker": "The broker: read by the listener, and by the web page if it publishes messages again.",
    "store": "The store: read by every service and command.",
    EVERY_SERVICE: "Settings of every service. The same key in the table of a service counts for that one.",
    "listener": "The listener.",
    PROCESSOR: "The processor: what counts for all its routes, and for a processor without routes.",
    "web": "The web page.",
}
_NAMES: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}}
_ROUTE: dict[str, Schema] = {
    "name": {
        "type": "string",
        "description": "Name in logs and metrics. Default: made from handler and queues.",
        "minLength": 1,
    },
    "topics": _NAMES
    | {
        "minItems": 1,
        "description": "Topic filters for messages within the queues. The first route that matches a message has it.",
    },
}


def schema() -> Schema:
    """The schema."""
    tables: dict[str, dict[str, Schema]] = {name: {} for name in _TABLES}
    for model in (StoreSettings, ServiceSettings, RetentionSettings, ListenerSettings, ProcessorSettings, WebSettings):
        own = tables[model.table] if model.table in ("listener", PROCESSOR, "web") else {}
        made = _properties(model)
        for name, field in model.model_fields.items():
            place = home(model, name)
            if place is None:
                continue
            table, key = str(place[0]), str(place[1])
            for to in (tables[table], *([own] if table == EVERY_SERVICE else [])):
                to[key] = made[name]
                if is_secret(field):
                    to[f"{key}_file"] = _path_of(name, field)
    handlers = {name: _handler(name, model) for name, model in SETTINGS.items()}
    route = {
        str(place[-1]): made[name]
        for made in (_properties(ProcessorSettings),)
        for name in ProcessorSettings.model_fields
        for place in islice(places(ProcessorSettings, name, 0), 1)
        if place[0] == ROUTE
    }
    tables[PROCESSOR] |= handlers
    properties = {name: _table(about, tables[name]) for name, about in _TABLES.items()}
    properties[PROCESSOR]["additionalProperties"] = {"type": "object"}
    properties[ROUTE] = {
        "type": "array",
        "minItems": 1,
        "description": "Routes of the processor: which messages go to which handler. Each has what [processor] says, unless it says otherwise.",
        "items": _table("A route.", {**_ROUTE, **route, **handlers}) | {"additionalProperties": {"type": "object"}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fmq.toml",
        "description": "Settings of fmq. Made from the code by docs/make_schema.py.",
        **_table("", properties),
    }


def _table(about: str, properties: dict[str, Schema]) -> Schema:
    text = {"description": about} if about else {}
    return {"type": "object", **text, "additionalProperties": False, "properties": properties}


def _handler(name: str, model: type[SettingsModel]) -> Schema:
    made = _properties(model)
    found: dict[str, Schema] = {}
    for field_name, field in model.model_fields.items():
        key = field_name.removeprefix(f"{name}_")
        found[key] = made[field_name]
        if is_secret(field):
            found[f"{key}_file"] = _path_of(field_name, field)
    return _table(f"Settings of the handler {name}.", found) | {HANDLER: True}


def _path_of(name: str, field: FieldInfo) -> Schema:
    return {
        "type": "string",
        "description": f"Path of a file with: {field.description}",
        VARIABLE: f"{variable(name)}_FILE",
    }


def _properties(model: type[SettingsModel]) -> dict[str, Schema]:
    made = model.model_json_schema()
    return {
        name: _property(name, field, made["properties"][name], made.get("$defs", {}))
        for name, field in model.model_fields.items()
    }


def _property(name: str, field: FieldInfo, made: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema of a setting: as pydantic makes it, with what people write (units, no null) and see (default, description)."""
    kinds: list[Schema] = [one for one in made.get("anyOf", [made]) if one.get("type") != "null"]
    kind: Schema = dict(kinds[0]) if len(kinds) == 1 else {"anyOf": kinds}
    if "$ref" in kind:
        kind = dict(definitions[str(kind["$ref"]).rpartition("/")[2]])
    for extra in (
        "title",
        "default",
        "description",
        "expected",
        "is_capability",
        "has_secret_query",
        "unit",
        "place",
        "of_process",
        "never_empty",
    ):
        kind.pop(extra, None)
    if kind.get("format") in ("path", "password"):
        del kind["format"], kind["type"]
        kind = {"type": "string", **({} if kind.get("writeOnly") else kind)}
    if kind.get("type") == "array":
        kind = {**_NAMES, **({"minItems": 1} if detail(field, "never_empty") else {})}
    if name == "handler":
        kind = {"anyOf": [{"enum": list(BUILTIN)}, {"type": "string", "pattern": "^[^:]+:[^:]+$"}]}
    unit: quantities.Unit | None = detail(field, "unit")
    if unit is not None and "anyOf" not in kind:
        kind = {"anyOf": [kind, {"type": "string", "pattern": quantities.PATTERNS[unit]}]}
    text = {"description": f"{field.description} Expected: {expected_value(field)}.", VARIABLE: variable(name)}
    return {**kind, **_default(field, unit), **text}


def _default(field: FieldInfo, unit: quantities.Unit | None) -> Schema:
    if field.is_required() or field.default in (None, (), "") or is_secret(field):
        return {}
    if unit is not None and field.default:
        return {"default": quantities.show(field.default, unit)}
    return {"default": list(field.default) if isinstance(field.default, tuple) else field.default}


def main() -> int:
    """Write the schema, or tell that it is old."""
    text = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    old = [path for path in WRITTEN if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" not in sys.argv:
        for path in old:
            path.write_text(text, encoding="utf-8")
    elif old:
        print(f"{', '.join(map(str, old))}: differs from the code: run make fmt", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
