"""Building the project's images, and how large they are."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from support.containers.engine import ROOT, Engine

BASE_IMAGE = "python:3.13-slim"
SERVICES: Mapping[str, str] = {
    "FMQ_LISTENER_IMAGE": "listener",
    "FMQ_PROCESSOR_IMAGE": "processor",
    "FMQ_WEB_IMAGE": "web",
    "FMQ_POSTGRES_IMAGE": "postgres-passwords",
}
"""The variable of each image, and the service of the compose file that builds it."""
_BUILD_SECONDS = 600


def build(engine: Engine, names: Mapping[str, str], *, context: Path = ROOT) -> None:
    """Build the images from a checkout, by default this one, with its compose file, under these names by variable."""
    services = [SERVICES[name] for name in names]
    # The machine's network, so that the build reaches the package index where the machine does.
    network = json.dumps({"services": {name: {"build": {"network": "host"}} for name in services}})
    engine.docker(
        *("compose", "--project-directory", str(context), "--env-file", os.devnull, "--progress", "plain"),
        *("--file", str(context / "docker-compose.yml"), "--file", "-", "build", *services),
        stdin=network,
        environ=names,
        deadline=_BUILD_SECONDS,
    )


def size(engine: Engine, image: str) -> float:
    """The content of an image in MB, its base included."""
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", image).stdout) / 1e6
