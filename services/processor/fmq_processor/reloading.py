"""``fmq process --reload``, for development: starts the processor again when the handler's code or its settings change.

The processor is a process of its own, started with the same arguments. It ends gracefully before the next one starts, so that no
message is lost and none is handled by old code afterwards. Files are compared by size and time of change, which needs no library and
works on every file system.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from fmq.cli.common.output import say
from fmq.errors import SettingsError
from fmq.service.config.file import USUAL
from fmq.service.lifecycle import Shutdown
from fmq.service.settings import variable

_LOOK_SECONDS = 0.5
_MOST_FILES = 5_000
_Snapshot = Mapping[Path, tuple[int, int]]


def serve_reloading(arguments: Sequence[str], config: object, *, ends: bool = False) -> int:
    """Run ``arguments``, a program, until SIGTERM or SIGINT; again after each change of a file. Returns its last exit code.

    ``ends``: the program ends after its work, so its end is the end of this too, whatever its exit code.
    ``config`` is the path of the file of settings as a flag gave it, if one did.
    """
    settings = Path(str(config or os.environ.get(variable("config")) or USUAL))
    with closing(Shutdown()) as shutdown:
        shutdown.install()
        return run_again_after_changes(arguments, Path.cwd(), [settings], shutdown, ends=ends)


def run_again_after_changes(
    arguments: Sequence[str], folder: Path, more: Sequence[Path], shutdown: Shutdown, *, ends: bool = False
) -> int:
    """Run a program until ``shutdown``; again after each change of ``more`` or of a Python file in ``folder``.

    Returns the exit code of the last run. A program that fails starts again with the next change; one that succeeds ends this, and
    with ``ends`` one that fails, too.
    Raises SettingsError if there are too many files to watch.
    """
    while True:
        before = _snapshot(folder, more)
        program = subprocess.Popen(arguments)  # noqa: S603 - the program that runs now
        changed, is_reported = "", False
        while not changed and not shutdown.wait(_LOOK_SECONDS):
            code = program.poll()
            if code is not None and (ends or code == 0):
                return code
            if code is not None and not is_reported:
                is_reported = True
                say(f"fmq: the processor ended with exit code {code}. It starts again when a file changes", err=True)
            changed = _difference(before, _snapshot(folder, more))
        program.terminate()
        code = program.wait()
        if shutdown.requested:
            return 0 if code == -signal.SIGTERM else code  # it had not come to handle the signal yet
        _wait_until_still(folder, more, shutdown)
        say(f"fmq: {changed} changed; starting the processor again", err=True)


def arguments_without_reload() -> list[str]:
    """The arguments that start this program again, without ``--reload``."""
    return [sys.executable, *(one for one in sys.argv if one != "--reload")]


def _wait_until_still(folder: Path, more: Sequence[Path], shutdown: Shutdown) -> None:
    """Wait until nothing changes any more: editors and version control write several files."""
    before, now = None, _snapshot(folder, more)
    while before != now and not shutdown.wait(_LOOK_SECONDS / 5):
        before, now = now, _snapshot(folder, more)


def _snapshot(folder: Path, more: Sequence[Path]) -> _Snapshot:
    found: dict[Path, tuple[int, int]] = {}
    for path in (*_python_files(folder), *more):
        try:
            status = path.stat()
        except OSError:  # it has just been deleted
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
        if len(found) > _MOST_FILES:
            raise SettingsError(
                f"--reload watches the Python files in the working directory, but {folder} has more than {_MOST_FILES:,}: "
                "start fmq in the folder of your handler"
            )
    return found


def _python_files(folder: Path) -> Iterator[Path]:
    """Those that may be a handler's: not in hidden folders, and not in virtual environments."""
    for at, folders, files in os.walk(folder):
        folders[:] = [
            one for one in folders if not one.startswith((".", "__")) and not Path(at, one, "pyvenv.cfg").exists()
        ]
        yield from (Path(at, file) for file in files if file.endswith(".py"))


def _difference(before: _Snapshot, now: _Snapshot) -> str:
    """The first file that differs, or an empty text."""
    return next((path.name for path in sorted({*before, *now}) if before.get(path) != now.get(path)), "")
