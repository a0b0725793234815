"""Makes the files of a project from templates, and writes them."""

import keyword
import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import fmq
from fmq.errors import SettingsError

_SUFFIX = ".txt"
"""Of templates: their text is not code of fmq."""
_PACKAGE = "package"
"""The folder of templates that becomes the project's package."""
_ANOTHER = "Choose another one, such as --name plant"
_TAKEN = {*sys.stdlib_module_names, "fmq", "tests", "wheels"}


def package_name(text: str) -> str:
    """The name of a package made of the name of a folder. Raises SettingsError if Python can't import it."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()  # ü becomes u
    name = re.sub(r"[^0-9a-z]+", "_", ascii_only.lower()).strip("_")
    if not name.isidentifier():
        raise SettingsError(
            f"Invalid project name {text!r}: expected letters and digits, a letter first, such as --name plant"
        )
    if keyword.iskeyword(name):
        raise SettingsError(f"Invalid project name {text!r}: {name} is a word of Python itself. {_ANOTHER}")
    if name in _TAKEN or name.startswith("fmq_") or _is_installed(name):
        raise SettingsError(f"Invalid project name {text!r}: a Python module {name} exists already. {_ANOTHER}")
    return name


def _is_installed(name: str) -> bool:
    """Whether an import of ``name`` finds a module. A folder without code of Python does not count."""
    found = find_spec(name)
    return found is not None and found.origin is not None


def make_files(package: str) -> dict[PurePosixPath, str]:
    """The text of each file of a project, by its path in the project."""
    root = files(__package__) / "template"
    values = {"@package@": package, "@project@": package.replace("_", "-"), "@version@": fmq.__version__}
    return {_place(path, package): _filled(text, values) for path, text in _templates(root, PurePosixPath())}


def write_files(folder: Path, texts: Mapping[PurePosixPath, str]) -> None:
    """Write all files into ``folder``. Raises SettingsError, and writes nothing, if one of them exists."""
    paths = {folder / path: text for path, text in texts.items()}
    taken = [path for path in paths if os.path.lexists(path)]
    blocked = {parent for path in paths for parent in path.parents if parent.exists() and not parent.is_dir()}
    if taken or blocked:
        names = "".join(f"\n  {path}" for path in sorted({*taken, *blocked}))
        raise SettingsError(f"These files exist already, and fmq init overwrites nothing:{names}")
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as out:
            out.write(text)


def _templates(folder: Traversable, place: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from _templates(one, place / one.name)
        elif one.name.endswith(_SUFFIX):
            yield place / one.name.removesuffix(_SUFFIX), one.read_text(encoding="utf-8")


def _place(path: PurePosixPath, package: str) -> PurePosixPath:
    return PurePosixPath(*(package if part == _PACKAGE else part for part in path.parts))


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text
