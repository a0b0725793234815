"""Headers of HTTP requests, as settings give them."""

import json
import re

from pydantic import WithJsonSchema

Headers = tuple[tuple[str, str], ...]
HEADERS_IN_A_FILE = WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}})
"""In a configuration file they are a table."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token: RFC 9110, section 5.6.2
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def parse_headers(value: str, *, ours: re.Pattern[str]) -> Headers:
    """Pairs of names (lower case) and values from a JSON object of strings; ``ours`` matches names that fmq sets itself.

    Raises ValueError with the reason, without a value.
    """
    if not value.strip():
        return ()
    try:
        parsed = json.loads(value)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(parsed, dict) or not all(isinstance(one, str) for one in parsed.values()):
        raise ValueError("it is not a JSON object of strings")
    for name, text in parsed.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if ours.fullmatch(name):
            raise ValueError(f"fmq itself sets the header {name}")
        if not _VALUE.fullmatch(text):
            raise ValueError(f"the value of the header {name} is not printable ASCII")
    if len({name.lower() for name in parsed}) < len(parsed):
        raise ValueError("it has a header twice")
    return tuple((name.lower(), text) for name, text in parsed.items())
