"""Makes docs/web-api.md from the table of endpoints. With --check, reports whether it is old."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fmq_web.api.endpoints import ENDPOINTS
from fmq_web.api.openapi import document
from fmq_web.http.route import Endpoint

PAGE = Path(__file__).parent / "web-api.md"
BASE = "/api/v1"
_MADE = "<!-- Made from the code by docs/make_web_api.py: change it there. -->\n"
_BEGIN = """
# Web API

`fmq web` answers the same questions for programs that its pages answer for people. All paths start with `/api/v1`;
`/api/v1/openapi.json` describes them exactly (OpenAPI 3.1).

```sh
curl -H "Authorization: Bearer $TOKEN" 'http://127.0.0.1:9466/api/v1/messages?queue=sensors/%2B/temp&state=dead&limit=10'
```

- **Access.** Send a token, made by `fmq web token`. `read` and `operate` are the roles: `operate` includes `read`.
- **Queues** are parameters, not parts of the path, since their names have slashes and wildcards. Encode them: `+` is `%2B`.
- **Values.** Ids are strings. Times are Unix seconds, durations seconds, sizes bytes. A POST takes a JSON object.
- **Lists** come in steps. `before` in an answer is the cursor of the next step, with the same other parameters; null at the end.
  `looked_at` is how many messages a step has examined: a step without matches is not the end while `before` is not null.
- **Errors** are `application/problem+json`, with `detail` for people. Unknown parameters are errors (422). 503 says that the
  store can't be read at the moment: try again.
- **Hidden contents.** With `FMQ_WEB_SHOW_PAYLOADS=false`, payloads and properties are left out, and payloads, exports and
  searches by `text` give 403.

## Change many messages

1. `POST /api/v1/operations/dry-run` counts what would change and freezes the selection: messages that come later are not
   part of it.
2. `POST /api/v1/operations` with the `token` of the dry run starts exactly that, once, within ten minutes.
3. `GET /api/v1/operations/{id}` shows how far it has come. It changes 1,000 messages per commit; canceling it leaves what it
   has changed.

## Endpoints
"""


def page() -> str:
    """The whole page."""
    described = document(ENDPOINTS)
    return _MADE + _BEGIN + "".join(_section(one, described) for one in ENDPOINTS)


def _section(one: Endpoint, described: Mapping[str, Any]) -> str:
    operation = described["paths"][one.path][one.method.lower()]
    lines = [f"\n### {one.method} {one.path.removeprefix(BASE)}\n", f"{one.about} Role: `{one.role}`.\n"]
    fields = [(each["name"], each["required"], each) for each in operation["parameters"] if each["in"] == "query"]
    if one.body is not None:
        schema = described["components"]["schemas"][one.body.__name__]
        fields += [
            (name, name in schema.get("required", ()), {"schema": each}) for name, each in schema["properties"].items()
        ]
    if fields:
        lines += ["| parameter | | what for |", "| --- | --- | --- |"]
        lines += [_row(name, each, required=required) for name, required, each in fields]
        lines.append("")
    answer = f"`{one.answer.__name__}`" if one.answer else f"`{one.media}`"
    lines.append(f"Answer: {answer}.\n")
    return "\n".join(lines)


def _row(name: str, field: Mapping[str, Any], *, required: bool) -> str:
    schema = field["schema"]
    about = field.get("description") or schema.get("description") or ""
    return f"| `{name}` | {'required' if required else _default(schema)} | {' '.join([_one_line(about), _limits(schema)]).strip()} |"


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return "" if default is None or isinstance(default, dict) else f"default `{default}`"


def _limits(schema: Mapping[str, Any]) -> str:
    kinds = [schema, *schema.get("anyOf", ())]
    for kind in kinds:
        if "enum" in kind:
            return f"One of {', '.join(f'`{value}`' for value in kind['enum'])}."
        if "minimum" in kind and "maximum" in kind and kind["maximum"] < 2**53:
            return f"From {kind['minimum']:,} to {kind['maximum']:,}."
    return ""


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("``", "`"))


def main() -> int:
    """Write the page, or tell that it is old."""
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in sys.argv:
        print("docs/web-api.md differs from the code: run make fmt", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
