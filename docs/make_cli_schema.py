"""Makes docs/cli.schema.json, the JSON Schema of what commands print with --json, from the code. With --check, reports whether it is old."""

import json
import sys
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fmq.cli.common.shapes import SHAPES

PAGE = Path(__file__).with_name("cli.schema.json")


def schema() -> dict[str, Any]:
    """The schema: one of the shapes. It has each of its fields, always, and no other."""
    made = TypeAdapter(reduce(or_, SHAPES)).json_schema(mode="serialization")
    for shape in made["$defs"].values():
        shape |= {"required": sorted(shape["properties"]), "additionalProperties": False}
        if "description" in shape:
            shape["description"] = " ".join(shape["description"].split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What fmq prints with --json",
        "description": "The field command says which of these an object is. Times are RFC 3339 in UTC, spans are in seconds, sizes in bytes.",
        **made,
    }


def main() -> int:
    """Write the file, or with --check return 1 if it is out of date."""
    text = json.dumps(schema(), indent=2) + "\n"
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("docs/cli.schema.json is out of date. Run `make fmt`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
