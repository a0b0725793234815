"""From the images of before to those of now, over a volume that is in use."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support.containers.engine import ROOT, Engine
from support.containers.images import build
from support.containers.stack import QUICK, Stack
from support.wait import wait_for

_TOPIC = "sensors/upgrade"


def _previous_revision() -> str:
    """What to upgrade from: FMQ_TEST_PREVIOUS, else the last release's tag, else nothing."""
    asked = os.environ.get("FMQ_TEST_PREVIOUS")
    if asked:
        return asked
    done = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


@pytest.fixture
def previous(engine: Engine, images: Mapping[str, str], tmp_path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """What the previous images are made from, and their names."""
    names = {name: f"{image}-previous" for name, image in images.items() if name != "FMQ_POSTGRES_IMAGE"}
    revision = _previous_revision()
    if revision:
        archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(tmp_path / "previous", filter="data")
        build(engine, names, context=tmp_path / "previous")
    else:
        for name, image in names.items():
            engine.docker("tag", images[name], image)
    yield revision or "the code of now, before the first release", names
    engine.docker("rmi", "--force", *names.values())


@pytest.mark.timeout(300)
def test_upgrade_keeps_every_message(
    engine: Engine,
    images: Mapping[str, str],
    previous: tuple[str, Mapping[str, str]],
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    """New images over the volume of the previous ones: done, dead, pending and claimed messages are all still there.

    The previous processor is killed with messages in hand, the listener is away while more arrive at the broker, and
    dead letters can be requeued afterwards. What it proves depends on what it comes from: without an earlier
    release, that new containers take over a volume in use, and nothing of migrations (tests/unit/core/store/sqlite has
    those).
    """
    revision, old_images = previous
    settings = {"FMQ_HANDLER": "ledger:handle", "FMQ_LEASE_SECONDS": "5", "FMQ_BATCH": "20"}
    folder = tmp_path / "stack"
    folder.mkdir()
    with Stack(engine, folder, images=old_images, overrides=(QUICK,), variables=settings) as stack:
        stack.up()
        stack.publish(_TOPIC, [f"done {number}" for number in range(1_000)] + ["reject"] * 3)
        wait_for(lambda: (stack.status()["done"], stack.status()["dead"]) == (1_000, 3), 60, what="old messages")

        stack.variables["FMQ_HANDLER"] = "ledger:slow"
        stack.up("processor")
        stack.publish(_TOPIC, [f"waiting {number}" for number in range(500)])
        wait_for(lambda: stack.status()["claimed"] > 0 and stack.status()["stored"] == 1_503, what="messages in hand")
        engine.docker("kill", stack.only("processor").id)
        stack.compose("stop", "listener")
        stack.publish(_TOPIC, [f"at the broker {number}" for number in range(500)])

        stack.variables.update(images, FMQ_HANDLER="ledger:handle")
        stack.up()
        assert stack.listener.inspect()["Config"]["Image"] == images["FMQ_LISTENER_IMAGE"]
        stack.wait_for_done(2_000)
        now = stack.status()
        assert (now["done"], now["dead"], now["stored"]) == (2_000, 3, 2_003)
        expected = {f"{kind} {number}" for kind, count in _KINDS.items() for number in range(count)}
        assert set(stack.handled()) == expected
        assert stack.listener.run("fmq", "dead", "requeue", "sensors/#", "--all").returncode == 0
        wait_for(lambda: stack.status()["dead"] == 3 and stack.status()["pending"] == 0, what="requeued messages")
        tell(f"upgrade from {revision}: 2,000 messages and 3 dead letters all there")


_KINDS = {"done": 1_000, "waiting": 500, "at the broker": 500}
