"""A broker that wants passwords, by the steps of docs/compose.md, and the password as a file."""

import shutil
from pathlib import Path

import pytest

from containers.conftest import StackMaker
from support.containers.engine import ROOT, Engine
from support.wait import wait_for

_SECRET = "correct horse battery staple"  # noqa: S105


@pytest.fixture
def configuration(engine: Engine, tmp_path: Path) -> Path:
    """deploy/mosquitto with a password file, made and named as the documentation says."""
    folder = tmp_path / "mosquitto"
    shutil.copytree(ROOT / "deploy" / "mosquitto", folder)
    engine.docker(
        *("run", "--rm", "--volume", f"{folder}:/config", "--entrypoint", "sh", "eclipse-mosquitto:2.0.22", "-c"),
        f"mosquitto_passwd -b -c /config/passwords fmq '{_SECRET}' && chown 1883:1883 /config/passwords",
    )
    file = folder / "mosquitto.conf"
    text = file.read_text(encoding="utf-8")
    assert text.count("\nallow_anonymous true\n") == 1
    file.write_text(
        text.replace("\nallow_anonymous true\n", "\npassword_file /mosquitto/config/passwords\n"), encoding="utf-8"
    )
    return folder


def _broker(configuration: Path) -> dict[str, object]:
    return {"services": {"mosquitto": {"volumes": [f"{configuration}:/mosquitto/config:ro"]}}}


def test_password_from_a_secret_file(stack: StackMaker, configuration: Path, tmp_path: Path) -> None:
    """With FMQ_BROKER_PASSWORD_FILE the listener gets in, strangers don't, and the secret is in no variable and no log."""
    secret = tmp_path / "password"
    secret.write_text(f"{_SECRET}\n", encoding="utf-8")
    with_secret = {
        "services": {
            "listener": {
                "environment": {"FMQ_BROKER_PASSWORD_FILE": "/run/secrets/broker_password"},
                "secrets": ["broker_password"],
            }
        },
        "secrets": {"broker_password": {"file": str(secret)}},
    }
    made = stack(_broker(configuration), with_secret, FMQ_BROKER_USERNAME="fmq")
    made.up()
    wait_for(
        lambda: made.listener.run("fmq", "health", "--ready", check=False).returncode == 0, what="the subscription"
    )
    made.publish("sensors/secret", ["hello"], options=("-u", "fmq", "-P", _SECRET))
    made.wait_for_done(1)
    stranger = made.only("mosquitto").run("mosquitto_pub", "-q", "1", "-t", "sensors/secret", "-m", "no", check=False)
    assert stranger.returncode != 0
    assert _SECRET not in str(made.listener.inspect()["Config"])
    assert _SECRET not in "\n".join(made.listener.output)


def test_wrong_password_is_told_and_tried_again(stack: StackMaker, configuration: Path) -> None:
    """A listener that the broker refuses says so in words, stays alive, and is not ready."""
    made = stack(_broker(configuration), FMQ_BROKER_USERNAME="fmq", FMQ_BROKER_PASSWORD="wrong")  # noqa: S106
    made.up("mosquitto", "listener")
    refusals = wait_for(lambda: [line for line in made.listener.output if "Attempt" in line], what="a refusal")
    assert "wrong" not in refusals[0].replace("wrong user", "").replace("wrong password", "")
    assert made.listener.run("fmq", "health", "--ready", check=False).returncode == 1
    assert made.listener.restarts == 0
