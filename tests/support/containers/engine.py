"""The Docker engine that the container tests use, and its command line."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_HERE = Path(__file__).resolve().parent
_PREPARATION_SECONDS = 600.0
_OURS = ("FMQ_", "COMPOSE_", "MOSQUITTO_", "PROMETHEUS_", "ALERTMANAGER_", "GRAFANA_", "PYTHON_IMAGE", "DEBIAN_IMAGE")


class EngineMissing(Exception):
    """A Docker engine neither runs nor can be started here."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How to reach it, and whether it was started for these tests."""

    environ: Mapping[str, str]
    started: bool

    def docker(
        self,
        *arguments: str,
        check: bool = True,
        deadline: float = 60.0,
        stdin: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker arguments…``. With ``check``, an exit code other than 0 fails with what it wrote."""
        try:
            done = subprocess.run(
                ["docker", *arguments],
                cwd=ROOT,
                env={**self.environ, **(environ or {})},
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=deadline,
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{_shown(arguments)} took longer than {deadline:g} s") from error
        if check and done.returncode:
            raise AssertionError(f"{_shown(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def stop(self) -> None:
        """End it, if it was started for these tests."""
        if self.started:
            subprocess.run([_HERE / "engine", "stop"], env=dict(self.environ), check=True, timeout=60)


def prepare() -> Engine:
    """Find or start an engine, and give it the base images. Raises EngineMissing with the reason."""
    # Nobody's own settings may change what is tested.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    clean |= {name: value for name, value in os.environ.items() if name.startswith(("FMQ_ENGINE_", "FMQ_STANDIN_"))}
    running = subprocess.run([_HERE / "engine", "status"], env=clean, capture_output=True, check=False).returncode == 0
    exports = _prepared("engine", clean)
    pairs = (word.partition("=") for word in shlex.split(exports) if "=" in word)
    engine = Engine(environ={**clean, **{name: value for name, _, value in pairs}}, started=not running)
    try:
        _prepared("standins", engine.environ)
    except EngineMissing:
        engine.stop()
        raise
    return engine


def _prepared(script: str, environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        [_HERE / script], env=dict(environ), capture_output=True, text=True, check=False, timeout=_PREPARATION_SECONDS
    )
    if done.returncode:
        raise EngineMissing(f"the container tests need a Docker engine and their base images:\n{done.stderr}")
    return done.stdout


def _shown(arguments: Sequence[str]) -> str:
    return shlex.join(["docker", *arguments])
