"""A real Prometheus and a real Alertmanager of the tests' own, on loopback, and what their APIs answer."""

import json
import re
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
import yaml

from support.broker import free_port
from support.wait import wait_for

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
RULES = MONITORING / "prometheus" / "rules" / "fmq.yaml"
_SECONDS = {"m": 1, "h": 60, "d": 1440}

Rule = dict[str, Any]
Query = Mapping[str, str]


def program(name: str) -> str:
    """The path of a tool. Fails if it is missing: nothing here is ever skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: `make test-monitoring` installs it", pytrace=False)
    return found


def run(*command: str) -> str:
    """What a tool says; it has to succeed."""
    done = subprocess.run(
        [program(command[0]), *command[1:]], capture_output=True, encoding="utf-8", check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@cache
def groups(path: Path = RULES) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["groups"]
    return found


def rules(kind: str = "alert") -> dict[str, Rule]:
    """Every alert, or every recorded rule, by its name."""
    return {rule[kind]: rule for group in groups() for rule in group["rules"] if kind in rule}


def shortened(text: str, limits: Mapping[str, Mapping[str, str]]) -> str:
    """The rules with a second for each minute of theirs, and with other limits where ``limits`` names an alert.

    Nothing else changes, and each limit that has to be changed has to be there.
    """
    document = yaml.safe_load(text)
    for group in document["groups"]:
        for rule in group["rules"]:
            for old, new in limits.get(rule.get("alert", ""), {}).items():
                assert rule["expr"].count(old) == 1, f"{rule['alert']} does not have {old!r}, or has it twice"
                rule["expr"] = rule["expr"].replace(old, new)
            rule["expr"] = re.sub(r"\[(\w+)(:?)\]", lambda found: f"[{_short(found[1])}{found[2]}]", rule["expr"])
            rule["expr"] = re.sub(r"offset (\w+)", lambda found: f"offset {_short(found[1])}", rule["expr"])
            for name in {"for", "keep_firing_for"} & rule.keys():
                rule[name] = _short(rule[name])
    return yaml.safe_dump(document, sort_keys=False)


def _short(duration: str) -> str:
    found = re.fullmatch(r"(\d+)([mhd])", duration)
    assert found, f"not a duration: {duration}"
    return f"{int(found[1]) * _SECONDS[found[2]]}s"


class _Server:
    """A program with an HTTP API."""

    def __init__(self, folder: Path, command: list[str], port: int) -> None:
        self.port = port
        self._log = folder / f"{Path(command[0]).name}.log"
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def ask(self, path: str, query: Query | None = None, *, body: object = None) -> Any:  # noqa: ANN401 - JSON
        url = f"http://127.0.0.1:{self.port}/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
        if body is not None:
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith(("{", "[")) else text

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text("utf-8")
        try:
            self.ask("-/ready")
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        wait_for(self._ready, 30, what="the server to be ready")
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait(30)


class Target(NamedTuple):
    """A service on a port of this machine, with the labels that Prometheus gives to its series."""

    job: str
    port: int
    labels: Mapping[str, str] = {}


class Prometheus(_Server):
    """A Prometheus that asks ``targets`` every second, with the given rules."""

    def __init__(self, folder: Path, rules_text: str, targets: Sequence[Target], *, alertmanager: int = 0) -> None:
        """``alertmanager`` is the port of one that is notified; 0: nobody is."""
        folder.mkdir(exist_ok=True)
        self._folder = folder
        (folder / "rules.yaml").write_text(rules_text, encoding="utf-8")
        self.watch(targets)
        port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "from-a-file", "file_sd_configs": [{"files": ["targets.json"]}]}],
        }
        if alertmanager:
            manager = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}
            config["alerting"] = {"alertmanagers": [manager]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self.begun = time.time()
        options = {
            "config.file": "prometheus.yml",
            "storage.tsdb.path": "data",
            "web.listen-address": f"127.0.0.1:{port}",
        }
        super().__init__(
            folder, [program("prometheus"), *(f"--{name}={value}" for name, value in options.items())], port
        )

    def watch(self, targets: Sequence[Target]) -> None:
        """Ask these targets from now on, and no others."""
        found = [{"targets": [f"127.0.0.1:{one.port}"], "labels": {"job": one.job, **one.labels}} for one in targets]
        new = self._folder / "targets.new"
        new.write_text(json.dumps(found), encoding="utf-8")
        new.replace(self._folder / "targets.json")

    def reload(self, rules_text: str) -> None:
        """Go on with these rules."""
        (self._folder / "rules.yaml").write_text(rules_text, encoding="utf-8")
        self._process.send_signal(signal.SIGHUP)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression, now."""
        return self._result("api/v1/query", {"query": expression})

    def over(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression since the start, second by second."""
        return self.between(expression, self.begun, time.time(), step=1)

    def between(self, expression: str, begun: float, ended: float, *, step: int) -> list[dict[str, Any]]:
        """The series of an expression from ``begun`` to ``ended`` (Unix times), every ``step`` seconds."""
        when = {"start": str(begun), "end": str(ended), "step": str(step)}
        return self._result("api/v1/query_range", {"query": expression, **when})

    def _result(self, path: str, query: Query) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(path, query)["data"]["result"]
        return found

    def alerts(self) -> list[dict[str, str]]:
        """The labels of each alert that fires."""
        alerts = self.ask("api/v1/alerts")["data"]["alerts"]
        return [one["labels"] for one in alerts if one["state"] == "firing"]

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {one["alertname"] for one in self.alerts()}

    def rule_errors(self) -> dict[str, str]:
        """What went wrong at the last evaluation, by rule."""
        all_groups = self.ask("api/v1/rules")["data"]["groups"]
        return {one["name"]: one["lastError"] for group in all_groups for one in group["rules"] if one.get("lastError")}


class Alertmanager(_Server):
    """An Alertmanager with the project's configuration."""

    def __init__(self, folder: Path, config: Path) -> None:
        port = free_port()
        super().__init__(
            folder,
            [
                program("prometheus-alertmanager"),
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            port,
        )

    def tell(self, *alerts: Mapping[str, str]) -> None:
        """Report that alerts with these labels fire."""
        self.ask("api/v2/alerts", body=[{"labels": labels} for labels in alerts])

    def silenced(self) -> set[str]:
        """The names of the alerts that others inhibit."""
        return {one["labels"]["alertname"] for one in self.ask("api/v2/alerts") if one["status"]["inhibitedBy"]}

    def inhibitions(self) -> list[tuple[dict[str, str], dict[str, str]]]:
        """The labels of each alert that is inhibited, with those of what inhibits it."""
        alerts = self.ask("api/v2/alerts")
        by_print = {one["fingerprint"]: one["labels"] for one in alerts}
        return [
            (one["labels"], by_print[by]) for one in alerts for by in one["status"]["inhibitedBy"] if by in by_print
        ]

    def receivers(self) -> dict[str, list[str]]:
        """Who is notified, by alert."""
        found = self.ask("api/v2/alerts")
        return {one["labels"]["alertname"]: [to["name"] for to in one["receivers"]] for one in found}
