"""The project that `fmq init` writes: its image, with a locked dependency of its own, in the compose file."""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from support.containers.engine import ROOT, Engine
from support.containers.stack import QUICK, Stack

_IMAGE = f"fmq-test-project:{os.getpid()}"
_FMQ = Path(sys.executable).with_name("fmq")
_BUILD_SECONDS = 300
_REVISIONS = ("1" * 40, "2" * 40)
_UP = "docker compose up --build --detach --wait listener processor web mosquitto"
_ON_THE_HOST = {name: {"build": {"network": "host"}} for name in ("listener", "processor", "web")}
"""As in the machine's network, so that builds reach the package index where the machine does."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A new project whose handler imports a package, which is locked and lies in wheels/: no index is needed."""
    folder = tmp_path / "plant"
    subprocess.run([_FMQ, "init", folder], check=True, capture_output=True)
    wheel = folder / "wheels" / "plant_units-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr("plant_units.py", "UNIT = 'degrees of the plant'\n")
        about = "plant_units-1.0.dist-info"
        out.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: plant-units\nVersion: 1.0\n")
        out.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        out.writestr(f"{about}/RECORD", f"plant_units.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements.txt").write_text(f"plant-units==1.0 --hash=sha256:{digest}\n")
    handlers = folder / "plant" / "handlers.py"
    code = handlers.read_text(encoding="utf-8")
    handlers.write_text(
        code.replace("import fmq\n", "import fmq\nfrom plant_units import UNIT\n").replace(
            '"%s: %.1f °C", message.topic, reading.temperature',
            '"%s: %.1f %s", message.topic, reading.temperature, UNIT',
        ),
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def stack(engine: Engine, images: Mapping[str, str], tmp_path: Path, project: Path) -> Iterator[Stack]:
    """The compose file with the project's override."""
    override = yaml.safe_load((project / "compose.override.yaml").read_text(encoding="utf-8"))
    args = {"FMQ_PROCESSOR_IMAGE": "${FMQ_PROCESSOR_IMAGE}", "PIP_NO_INDEX": "1"}
    here = {"services": _ON_THE_HOST | {"processor": {"image": _IMAGE, "build": {"args": args, "network": "none"}}}}
    variables = {"PROJECT": str(project), "FMQ_CONFIG_FILE": str(project / "fmq.toml")}
    folder = tmp_path / "stack"
    folder.mkdir()
    with Stack(engine, folder, images=images, overrides=(QUICK, override, here), variables=variables) as made:
        yield made
    engine.docker("rmi", "--force", _IMAGE)


def test_a_project_is_built_and_run(stack: Stack) -> None:
    """Its handler gets what is published, with its own dependency; what does not fit its type is a dead letter."""
    stack.compose("build", "processor", deadline=_BUILD_SECONDS)
    stack.up("processor", "listener")
    stack.publish("sensors/kitchen", ['{"temperature": 20.5}', "nonsense"])
    status = stack.wait_for_done(1)
    assert (status["done"], status["dead"]) == (1, 1)
    assert any("sensors/kitchen: 20.5 degrees of the plant" in line for line in stack.only("processor").output)


@pytest.mark.timeout(600)
def test_the_documented_upgrade_renews_every_image(
    engine: Engine, stack: Stack, images: Mapping[str, str], tell: Callable[[str], None]
) -> None:
    """After the commands of docs/your-image.md, listener, processor and web have the same revision, the new one."""
    page = (ROOT / "docs/your-image.md").read_text(encoding="utf-8")
    text = page.partition("<!-- upgrade: begin -->\n```sh\n")[2].partition("```")[0]
    # The stack has its own files, and the checkout of a test may be without git.
    files = "--file docker-compose.yml --file $PROJECT/compose.override.yaml "
    assert files in text
    assert "$(git rev-parse HEAD)" in text
    mine = {name: f"{image}-upgrade" for name, image in images.items() if name != "FMQ_POSTGRES_IMAGE"}
    stack.variables.update(mine)
    fmq_only, whole = stack.override_files({"services": _ON_THE_HOST}), stack.files
    for revision in _REVISIONS:
        for line in text.replace(files, "").replace("$(git rev-parse HEAD)", revision).splitlines()[1:]:
            is_build = line == "docker compose build"
            chosen = fmq_only if is_build else whole
            services = "listener processor web" if is_build else "listener processor web mosquitto"
            if is_build and revision == _REVISIONS[1]:  # the second command alone leaves the processor old
                stack.run_line(f"export FMQ_REVISION={revision}; {_UP}", _BUILD_SECONDS)
                assert _REVISIONS[0] in stack.only("processor").run("fmq", "--version").stdout
                assert revision in stack.only("listener").run("fmq", "--version").stdout
            stack.run_line(f"export FMQ_REVISION={revision}; {line} {services}", _BUILD_SECONDS, files=chosen)
        said = {
            service: stack.only(service).run("fmq", "--version").stdout for service in ("listener", "processor", "web")
        }
        assert all(f"(revision {revision})" in one for one in said.values()), said
    tell("upgrade with a handler image of one's own: listener, processor and web have the new revision")
    stack.down()
    engine.docker("rmi", "--force", *mine.values())


def test_the_dockerfile_is_clean(project: Path) -> None:
    """Hadolint finds nothing."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", project / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_package_without_its_hash_is_not_installed(stack: Stack, project: Path) -> None:
    """If somebody has replaced it, the build ends."""
    requirements = project / "requirements.txt"
    requirements.write_text(requirements.read_text()[:-9] + "00000000\n")
    done = stack.compose("build", "processor", check=False, deadline=_BUILD_SECONDS)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout + done.stderr
