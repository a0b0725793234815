"""The files that containers are made from, as far as reading them can tell."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from fmq.service.environment import load
from fmq_listener.settings import ListenerSettings
from fmq_processor.settings import ProcessorSettings
from fmq_web.settings import WebSettings
from support.containers.engine import ROOT

_COMPOSE = ROOT / "docker-compose.yml"
_EXAMPLE = ROOT / ".env.example"
_DOCKERFILES = (ROOT / "services" / "Dockerfile", ROOT / "deploy" / "postgres" / "Dockerfile")
_ENDS = {"postgres-passwords"}
"""Services that do their work and end."""
_BIN = Path(sys.executable).parent


def _compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_COMPOSE.read_text(encoding="utf-8"))
    return found


def _tool(*command: str) -> None:
    done = subprocess.run([_BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"


def test_env_example_has_every_variable_and_its_default() -> None:
    """`.env.example` names exactly the variables of docker-compose.yml, each with the default that holds without it."""
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", _COMPOSE.read_text(encoding="utf-8")))
    shown = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", _EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    assert shown == used


def test_env_example_has_every_setting_that_wins_over_the_file() -> None:
    """Those that come from .env only if they are set there are comments, with the value in deploy/fmq.toml."""
    passed = {
        name
        for service in _compose()["services"].values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    shown = dict(re.findall(r"^# (FMQ_[A-Z_]+)=(.*)$", _EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    assert shown.keys() == passed
    folder = {"FMQ_CONFIG": str(ROOT / "deploy/fmq.toml")}
    for model in (ListenerSettings, ProcessorSettings, WebSettings):
        environ = {name: value for name, value in shown.items() if name != "FMQ_WEB_HOSTS"} | {"FMQ_TOPICS": "a"}
        assert load(model, {}, folder | environ) == load(model, {}, folder | {"FMQ_TOPICS": "a"})


def test_a_copy_of_env_example_keeps_no_names_of_images() -> None:
    """After an upgrade, an old copy would give new images the names of old ones."""
    assert re.findall(r"^[A-Z_]+_IMAGE=.*$", _EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_alertmanager_remembers_for_longer_than_it_repeats() -> None:
    """Else it forgets that it has notified somebody."""
    hours = {"h": 1, "d": 24}
    text = (ROOT / "monitoring/alertmanager/alertmanager.yml").read_text(encoding="utf-8")
    repeats = [int(number) * hours[unit] for number, unit in re.findall(r"repeat_interval: (\d+)([hd])\b", text)]
    (kept,) = re.findall(r"--data.retention=(\d+)h", _COMPOSE.read_text(encoding="utf-8"))
    assert int(kept) > max(repeats)


@pytest.mark.parametrize("given", ["", "chosen"])
def test_grafana_starts_with_a_password(given: str, tmp_path: Path) -> None:
    """A random one that stays the same, or the one that is given; only the user of Grafana can read it."""
    run = tmp_path / "run.sh"
    run.write_text('#!/bin/sh\ncat "$GF_SECURITY_ADMIN_PASSWORD__FILE"; echo " ${ADMIN_PASSWORD-unset}"\n')
    run.chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "ADMIN_PASSWORD": given, "DATA": str(tmp_path), "RUN": str(run)}
    first, second = (
        subprocess.run(
            ["sh", ROOT / "deploy/grafana/start.sh"], env=environ, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    )
    password, rest = first.split()
    assert (first, rest) == (second, "unset")
    assert password == given or (not given and len(password) == 24)
    assert (tmp_path / "admin-password").stat().st_mode & 0o077 == 0


def test_every_variable_has_a_default() -> None:
    """docker-compose.yml needs no .env: no variable is without a default, and each has the same one everywhere."""
    text = _COMPOSE.read_text(encoding="utf-8").replace("$$", "")
    assert not re.findall(r"\$(?!\{[A-Z_]+:-[^}]*\})\S+", text)
    pairs = set(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    assert len(pairs) == len(dict(pairs))


def test_settings_exist() -> None:
    """Every FMQ_ variable that a service is given is a setting that it knows, with the default that it has."""
    reference = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    given = {
        name for service in ("listener", "processor", "web") for name in _compose()["services"][service]["environment"]
    }
    known = set(re.findall(r"^\| `(FMQ_[A-Z_]+)`", reference, re.MULTILINE))
    more = {"FMQ_WEB_PASSWORD_FILE", "PGPASSFILE"}
    assert given <= known | more, (
        "a secret's file is described once for all secrets, and the driver has variables of its own"
    )


@pytest.mark.parametrize("service", sorted(_compose()["services"]))
def test_every_service_is_hardened(service: str) -> None:
    """No service has capabilities, a writable root, new privileges, memory or logs without end, or a public port."""
    told = _compose()["services"][service]
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["read_only"] is True
    assert told["mem_limit"]
    assert told["restart"] == ("no" if service in _ENDS else "unless-stopped")
    assert told["logging"]["options"].keys() == {"max-size", "max-file"}
    assert all(port.startswith("127.0.0.1:") for port in told.get("ports", []))
    assert ":latest" not in told["image"]


def test_compose_file_is_valid() -> None:
    """docker-compose.yml is what the compose specification allows."""
    _tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(_COMPOSE))


def test_compose_file_is_clean() -> None:
    """compose-lint finds nothing at all; what it need not look for has its reason in compose-lint.yml."""
    _tool(
        "compose-lint",
        "--config",
        "tests/containers/compose-lint.yml",
        "--strict-config",
        "--fail-on",
        "low",
        "docker-compose.yml",
    )


@pytest.mark.parametrize("dockerfile", _DOCKERFILES, ids=lambda path: path.parent.name)
def test_dockerfile_is_clean(dockerfile: Path) -> None:
    """Hadolint finds nothing."""
    _tool("hadolint", "--failure-threshold", "style", str(dockerfile))


@pytest.mark.parametrize("path", sorted(ROOT.glob("monitoring/**/*.y*ml")), ids=lambda path: path.name)
def test_configuration_can_be_read(path: Path) -> None:
    """Every configuration file under monitoring/ is YAML with something in it."""
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_addresses_in_the_monitoring_configuration_exist() -> None:
    """Grafana's datasource, Prometheus's targets and its Alertmanager are services of the compose file, at ports of theirs."""
    services = _compose()["services"]
    ports = {
        name: {str(port).rpartition(":")[2] for port in [*told.get("ports", []), *told.get("expose", [])]}
        for name, told in services.items()
    }
    grafana = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/datasources/prometheus.yaml").read_text("utf-8"))
    assert grafana["apiVersion"] == 1
    prometheus = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text("utf-8"))
    named = [source["url"].removeprefix("http://").split(":") for source in grafana["datasources"]]
    for manager in prometheus["alerting"]["alertmanagers"]:
        named += [target.split(":") for config in manager["static_configs"] for target in config["targets"]]
    for job in prometheus["scrape_configs"]:
        named += [[name, str(config["port"])] for config in job.get("dns_sd_configs", []) for name in config["names"]]
    assert len(named) >= 4
    assert [(name, port) for name, port in named if port not in ports[name]] == []


def test_broker_and_listener_agree_on_inflight() -> None:
    """The broker hands over as many messages at once as the listener takes."""
    with (ROOT / "deploy/fmq.toml").open("rb") as file:
        inflight = tomllib.load(file)["listener"]["inflight"]
    configured = re.search(
        r"^max_inflight_messages (\d+)$",
        (ROOT / "deploy/mosquitto/mosquitto.conf").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert configured
    assert int(configured[1]) == inflight


def test_build_context_holds_no_more_than_images_need() -> None:
    """.dockerignore lets nothing in but what the packages are built from: no .git, no .env, no tests."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    begins = ("!requirements/", "!shared/", "!services/", "!packaging/project_urls.py", "!LICENSE", "**/__pycache__")
    assert all(rule.startswith(begins) for rule in rules[1:])
