"""``fmq process --reload``: runs a processor in a process of its own, and replaces it when files change.

It polls: that needs no dependency, and works in containers and on shared folders, where change notifications get lost.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from fmq.service.lifecycle import Shutdown

_POLL_SECONDS = 0.5
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})
_Version = tuple[int, int, int]


def reload_when_changed(arguments: Sequence[str]) -> int:
    """Run ``fmq process`` with the arguments of this process until SIGTERM or SIGINT. Returns the exit code of the last process.

    A process that ends is started again after the next change, so a mistake can be corrected.
    """
    folder, config = Path(), Path(os.environ.get("FMQ_CONFIG") or "fmq.toml")
    own = [one for one in arguments if one != "--reload"]
    if own[:1] == ["process"]:  # as a sub-command of fmq
        del own[0]
    shutdown = Shutdown()
    shutdown.install()
    while True:
        seen = versions(folder, config)
        # -P: a file in the working directory can't replace a module of fmq. The handler is found there nevertheless.
        process = subprocess.Popen([sys.executable, "-P", "-m", "fmq_processor", *own])  # noqa: S603 - the same program
        changed = _wait_for_change(shutdown, process, seen, folder, config)
        if not changed:
            return _end(process)
        click.echo(f"fmq: {_shown(changed, folder)} changed; restarting the processor", err=True)
        _end(process)


def versions(folder: Path, config: Path) -> dict[Path, _Version]:
    """The Python files below ``folder`` and ``config``, with what changes when they are written."""
    found = {}
    for path in (*_python_files(folder), config):
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found


def _python_files(folder: Path) -> Iterator[Path]:
    """Without hidden folders, environments and installed packages."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not _is_skipped(Path(parent, one))]
        yield from (Path(parent, name) for name in files if name.endswith(".py"))


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()


def _wait_for_change(
    shutdown: Shutdown, process: subprocess.Popen[bytes], seen: Mapping[Path, _Version], folder: Path, config: Path
) -> set[Path]:
    """The changed files, once they have stopped changing. Empty: the shutdown was requested."""
    before = seen
    has_ended = False
    while not shutdown.wait(_POLL_SECONDS):
        now = versions(folder, config)
        if now != seen and now == before:
            return {path for path, _ in now.items() ^ seen.items()}
        before = now
        if not has_ended and process.poll() is not None:
            has_ended = True
            click.echo(f"fmq: the processor ended with exit code {process.returncode}; waiting for a change", err=True)
    return set()


def _end(process: subprocess.Popen[bytes]) -> int:
    """Let the process stop gracefully: it settles its messages or gives them back within FMQ_GRACE_SECONDS."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    code = process.wait()
    return code if code >= 0 else 128 - code


def _shown(changed: set[Path], folder: Path) -> str:
    names = sorted(os.path.relpath(path, folder) for path in changed)
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
