"""Settings with placeholders, such as ``archive/{queue}.jsonl``, and names that are safe in a path."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import quote

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LONGEST = 150
_DIGEST = 16


def check(template: str, known: Collection[str], *, more: str = "") -> None:
    """Raise ValueError if ``template`` has placeholders other than the ``known`` ones, or stray braces.

    ``more`` is a regular expression for further names.
    """
    for name in _PLACEHOLDER.findall(template):
        if name not in known and not re.fullmatch(more, name):
            raise ValueError(f"unknown placeholder {{{name}}}; known: {' and '.join(f'{{{one}}}' for one in known)}")
    if any(brace in without_placeholders(template) for brace in "{}"):
        raise ValueError("it has an unmatched { or }")


def without_placeholders(template: str) -> str:
    """The text around the placeholders."""
    return _PLACEHOLDER.sub("", template)


def parts(template: str) -> Sequence[tuple[str, bool]]:
    """Text and names of placeholders in their order, each with whether it is a name."""
    return [(part, bool(index % 2)) for index, part in enumerate(_PLACEHOLDER.split(template)) if index % 2 or part]


def has_any(template: str) -> bool:
    """Whether ``template`` has a placeholder."""
    return bool(_PLACEHOLDER.search(template))


def fixed_part(template: str) -> str:
    """The text before the first placeholder."""
    return _PLACEHOLDER.split(template, maxsplit=1)[0]


def fill(template: str, values: Mapping[str, str]) -> str:
    """``template`` with its placeholders replaced."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


def file_name(text: str) -> str:
    """``text`` percent-encoded (RFC 3986), so that it is one name in a folder, whatever is in it.

    Two texts never get the same name. No name is empty, hidden, starts with a dash, or has more than 150 characters: a long
    one keeps its beginning, and a digest replaces the rest.
    """
    name = quote(text, safe="+", errors="surrogatepass")
    if not name:
        return "%"
    if name[0] in ".-":
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > _LONGEST:
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
        name = f"{name[: _LONGEST - _DIGEST - 1]}={digest}"  # a whole name has no =
    return name
