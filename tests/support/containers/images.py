"""Building the project's images, and how large they are."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from support.containers.engine import ROOT, Engine

BASE_IMAGE = "python:3.13-slim"
DEBIAN_IMAGE = "debian:13-slim"
SERVICES: Mapping[str, str] = {
    "FMQ_LISTENER_IMAGE": "listener",
    "FMQ_PROCESSOR_IMAGE": "processor",
    "FMQ_WEB_IMAGE": "web",
    "FMQ_POSTGRES_IMAGE": "postgres-passwords",
}
"""The variable of each image, and the service of the compose file that builds it."""
REVISION = "0123456789abcdef"
"""The revision that builds get by default."""
_BUILD_SECONDS = 600
_PAGE = ROOT / "docs" / "compose.md"


def build(engine: Engine, names: Mapping[str, str], *, context: Path = ROOT, revision: str = REVISION) -> None:
    """Build the images from a checkout, by default this one, with its compose file, under these names by variable."""
    services = [SERVICES[name] for name in names]
    # The machine's network, so that the build reaches the package index where the machine does.
    network = json.dumps({"services": {name: {"build": {"network": "host"}} for name in services}})
    engine.docker(
        *("compose", "--project-directory", str(context), "--env-file", os.devnull, "--progress", "plain"),
        *("--file", str(context / "docker-compose.yml"), "--file", "-", "build", *services),
        stdin=network,
        environ={"FMQ_REVISION": revision, **names},
        deadline=_BUILD_SECONDS,
    )


def write_sizes(found: Mapping[str, float]) -> None:
    """Write the sizes in MB, by the service that builds the image, into the table of docs/compose.md."""
    text = _PAGE.read_text(encoding="utf-8")
    for service, megabytes in found.items():
        name = "postgres" if service == "postgres-passwords" else service
        text, count = re.subn(rf"(\| `fmq-{name}` \| )\d+ MB", rf"\g<1>{megabytes:.0f} MB", text)
        assert count == 1, f"docs/compose.md has no size of fmq-{name}"
    _PAGE.write_text(text, encoding="utf-8")


def size(engine: Engine, image: str) -> float:
    """The content of an image in MB, its base included."""
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", image).stdout) / 1e6
