"""Settings with placeholders, such as ``archive/{queue}.jsonl``, and names that are safe in a path."""

import hashlib
import re
from collections.abc import Collection, Mapping
from urllib.parse import quote

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LONGEST = 150
_DIGEST = 16


def check(template: str, known: Collection[str]) -> None:
    """Raise ValueError if ``template`` has placeholders other than the ``known`` ones, or stray braces."""
    for name in _PLACEHOLDER.findall(template):
        if name not in known:
            raise ValueError(
                f"there is no placeholder {{{name}}}; there is {' and '.join(f'{{{one}}}' for one in known)}"
            )
    if any(brace in _PLACEHOLDER.sub("", template) for brace in "{}"):
        raise ValueError("a { or } stands alone")


def has_any(template: str) -> bool:
    """Whether there is a placeholder in ``template``."""
    return bool(_PLACEHOLDER.search(template))


def fixed_part(template: str) -> str:
    """What stands before the first placeholder."""
    return _PLACEHOLDER.split(template, maxsplit=1)[0]


def fill(template: str, values: Mapping[str, str]) -> str:
    """``template`` with the value of each placeholder in its place."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


def file_name(text: str) -> str:
    """``text`` percent-encoded (RFC 3986), so that it is one name in a folder, whatever is in it.

    Two texts never have one name. None is empty, hidden, begins with a dash, or is longer than 150 characters: of a
    long one the beginning is kept, and a digest stands for the rest.
    """
    name = quote(text, safe="+", errors="surrogatepass")
    if not name:
        return "%"
    if name[0] in ".-":
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > _LONGEST:
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
        name = f"{name[: _LONGEST - _DIGEST - 1]}={digest}"  # there is no = in a name that is whole
    return name
