"""What is in the images, and how they behave on their own."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from support.containers.engine import Engine
from support.containers.images import BASE_IMAGE, REVISION, size
from support.containers.stack import Container, seconds
from support.wait import wait_for

_MOST_MEGABYTES = 90
_HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp")  # noqa: S108
_STOP_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Image:
    """One of the images."""

    engine: Engine
    service: str
    name: str

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.engine.docker("image", "inspect", self.name).stdout)[0]["Config"]
        return found

    def run(self, *command: str, check: bool = True) -> str:
        """What a command says in a container of it, without the entry point."""
        done = self.engine.docker(
            *("run", "--rm", "--network", "none", *_HARDENED, "--entrypoint", command[0], self.name, *command[1:]),
            check=check,
        )
        return done.stdout + done.stderr


_VERBS = {"listener": "listen", "processor": "process", "web": "web"}


@pytest.fixture(params=list(_VERBS))
def image(request: pytest.FixtureRequest, engine: Engine, images: Mapping[str, str]) -> Image:
    service = str(request.param)
    return Image(engine=engine, service=service, name=images[f"FMQ_{service.upper()}_IMAGE"])


@pytest.fixture
def alone(image: Image) -> Iterator[Container]:
    """The image's service on its own: no broker, no network, nothing but a volume."""
    topics = ("--env", "FMQ_TOPICS=sensors/#")
    started = image.engine.docker(
        "run", "--detach", "--network", "none", *_HARDENED, *topics, "--volume", "/data", image.name
    )
    container = Container(image.engine, started.stdout.strip())
    yield container
    image.engine.docker("rm", "--force", "--volumes", container.id)


def test_it_is_small(image: Image) -> None:
    """An image has less than 90 MB over its base."""
    assert size(image.engine, image.name) - size(image.engine, BASE_IMAGE) < _MOST_MEGABYTES


def test_it_carries_its_own_service_only(image: Image) -> None:
    """Neither another service nor the demonstration can be imported, and `fmq` has no command of theirs."""
    program = (
        "import importlib.util, json\n"
        "names = ['fmq', 'fmq_listener', 'fmq_processor', 'fmq_web', 'fmq_demo', 'paho', 'pip', 'setuptools', 'hatchling']\n"
        "print(json.dumps([name for name in names if importlib.util.find_spec(name)]))"
    )
    expected = {
        "listener": ["fmq", "fmq_listener", "paho"],
        "processor": ["fmq", "fmq_processor", "paho"],
        "web": ["fmq", "fmq_web", "paho"],
    }
    assert json.loads(image.run("python", "-c", program)) == expected[image.service]
    assert image.run("python", "-c", "import psycopg; print(psycopg.pq.__impl__)") == "binary\n", (
        "for stores on PostgreSQL"
    )
    commands = image.run("fmq", "--help")
    assert [verb for verb in (*_VERBS.values(), "demo") if f"  {verb} " in commands] == [_VERBS[image.service]]


def test_nothing_of_the_build_is_left(image: Image) -> None:
    """They contain neither pip, caches, a source tree nor a compiler, and fmq's files have no set-uid bit."""
    assert image.run("sh", "-c", "ls -d /build /root/.cache /opt/fmq/bin/pip* /wheels 2>/dev/null || true") == ""
    assert image.run("sh", "-c", "command -v gcc cc g++ clang make git curl || true") == ""
    assert image.run("find", "/opt/fmq", "-perm", "/6000") == ""


def test_it_says_what_it_is(image: Image) -> None:
    """Labels, user, health check, stop signal and an entry point without a shell are set."""
    config = image.config
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels["title"] == f"fmq-{image.service}"
    assert labels["licenses"] == "MIT"
    assert labels["version"] in image.run("fmq", "--version")
    assert labels["revision"] == REVISION
    assert f"(revision {REVISION})" in image.run("fmq", "--version")
    assert "description" in labels
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"] == ["CMD", "fmq", "health"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == [f"fmq-{_VERBS[image.service]}"]


def test_it_runs_as_nobody_special(image: Image) -> None:
    """The user is 10001 in every image, may write to /data alone, and can't change the program."""
    assert image.run("id").startswith("uid=10001(fmq) gid=10001(fmq) groups=10001(fmq)")
    assert image.run("stat", "-c", "%u:%g %a", "/data").strip() == "10001:10001 770"
    assert image.run("find", "/opt/fmq", "/usr", "-writable", "-not", "-type", "l") == ""


def test_it_stops_at_once_when_asked(alone: Container) -> None:
    """With nothing to do, a service ends with 0 within seconds of SIGTERM: also while it has no broker."""
    wait_for(lambda: any("Serving metrics" in line for line in alone.output), 30, what="the service to start")
    begun = time.monotonic()
    alone.stop()
    assert alone.exit_code == 0
    assert seconds(begun) < _STOP_SECONDS


def test_its_health_check_tells_whether_it_lives(alone: Container) -> None:
    """`fmq health` fails while nothing answers, and holds as soon as the service runs, broker or not."""
    wait_for(lambda: alone.run("fmq", "health", check=False).returncode == 0, 30, what="the service to be alive")
    nobody = alone.run("fmq", "health", "--port", "1", check=False)
    assert nobody.returncode == 1
    assert "no answer" in nobody.stderr


def test_wrong_settings_end_it(image: Image) -> None:
    """An invalid setting is reported, and the container ends with 2."""
    done = image.engine.docker(
        "run", "--rm", "--env", "FMQ_GRACE_SECONDS=soon", "--env", "FMQ_TOPICS=dstdb", image.name, check=False
    )
    assert done.returncode == 2
    assert "FMQ_GRACE_SECONDS" in done.stderr
