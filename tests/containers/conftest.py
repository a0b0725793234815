"""A Docker engine, the project's own images, and the project's own compose file. A missing engine fails, it never skips."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.containers.engine import Engine, EngineMissing, prepare
from support.containers.images import BASE_IMAGE, DEBIAN_IMAGE, SERVICES, build, size, write_sizes
from support.containers.stack import QUICK, Stack, seconds

_FIGURES = pytest.StashKey[list[str]]()

StackMaker = Callable[..., Stack]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell what was measured, whether tests failed or not."""
    if config.stash[_FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[_FIGURES]:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Adds a line to the figures at the end."""
    return pytestconfig.stash[_FIGURES].append


@pytest.fixture(scope="session")
def engine(tell: Callable[[str], None]) -> Iterator[Engine]:
    """A Docker engine with Compose v2, buildx and the base images."""
    begun = time.monotonic()
    try:
        running = prepare()
    except EngineMissing as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    version = running.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
    compose = running.docker("compose", "version", "--short").stdout.strip()
    tell(f"engine {version}, Compose {compose} and base images: ready after {seconds(begun):.1f} s")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def images(engine: Engine, tell: Callable[[str], None]) -> Iterator[Mapping[str, str]]:
    """All images, built by the compose file from the project's Dockerfiles, under names of this run."""
    run = os.getpid()
    names = {name: f"fmq-test-{service}:{run}" for name, service in SERVICES.items()}
    begun = time.monotonic()
    build(engine, names)
    tell(f"images: built in {seconds(begun):.1f} s")
    bases = {service: DEBIAN_IMAGE if service == "postgres-passwords" else BASE_IMAGE for service in SERVICES.values()}
    sizes = {SERVICES[one]: size(engine, name) - size(engine, bases[SERVICES[one]]) for one, name in names.items()}
    write_sizes(sizes)
    for service, megabytes in sizes.items():
        tell(f"image of {service}: {megabytes:.1f} MB over its base")
    yield names
    engine.docker("rmi", "--force", *names.values())


@pytest.fixture
def stack(engine: Engine, images: Mapping[str, str], tmp_path: Path) -> Iterator[StackMaker]:
    """Makes stacks, with health checks every second; all are removed after the test."""
    with ExitStack() as made:

        def make(*overrides: Mapping[str, Any], **variables: str) -> Stack:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            return made.enter_context(
                Stack(engine, folder, images=images, overrides=(QUICK, *overrides), variables=variables)
            )

        yield make
