"""The files that pages load: style, scripts and fonts. Their path holds a hash of them all, so browsers may keep them forever."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file and its content type."""

    content: bytes
    media: str


def _read(folder: Path) -> Mapping[str, Asset]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): Asset(path.read_bytes(), _TYPES[path.suffix]) for path in files}


def _hash(files: Mapping[str, Asset]) -> str:
    whole = sha256()
    for name, asset in files.items():
        whole.update(f"{name}\0{len(asset.content)}\0".encode() + asset.content)
    return whole.hexdigest()[:12]


FILES = _read(Path(__file__).with_name("static"))
"""By name, such as ``style.css`` or ``fonts/OFL.txt``."""
VERSION = _hash(FILES)


def path_of(name: str) -> str:
    """Where the page finds a file. Raises KeyError if there is none."""
    if name not in FILES:
        raise KeyError(name)
    return f"/assets/{VERSION}/{name}"


def find(version: str, name: str) -> Asset | None:
    """The file at ``/assets/{version}/{name}``. None for another version: its content is not this one's."""
    return FILES.get(name) if version == VERSION else None
