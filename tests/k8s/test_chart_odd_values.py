"""Values that mean something else to YAML, Helm or Kubernetes than to people come out of the chart as they were written."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from k8s.charts import CHART, objects, template
from k8s.manifests import pick
from k8s.tools import Manifest

_NAMES = {"name", "namespace", "instance", "secretName", "claimName", "key"}


def _texts(part: object) -> Iterator[object]:
    """Every value that has to be a text: names, and those of labels, annotations and the data of ConfigMaps."""
    if isinstance(part, list):
        for one in part:
            yield from _texts(one)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name in ("labels", "matchLabels", "annotations", "data") and isinstance(value, dict):
                yield from value.values()
            elif name in _NAMES and not isinstance(value, dict):
                yield value
            else:
                yield from _texts(value)


def _settings(found: list[Manifest]) -> dict[str, Any]:
    (one,) = [
        one["data"] for one in found if one["kind"] == "ConfigMap" and one["metadata"]["name"].endswith("-settings")
    ]
    return dict(one)


def test_words_of_yaml_are_names() -> None:
    """Names such as no, on and null, and those of digits, stay texts, wherever they appear."""
    words: dict[str, Any] = {
        "fullnameOverride": "true",
        "listener": {"names": ["no", "off"]},
        "processors": [{"name": "on"}, {"name": "null", "config": "[service]"}],
        "broker": {"passwordSecret": {"name": "1", "key": "2"}, "ca": {"configMap": "3", "key": "4"}},
        "store": {"volume": {"storageClass": "5"}},
        "serviceAccount": {"create": False, "name": "6"},
        "pod": {"priorityClassName": "7"},
        "image": {"pullSecrets": ["8"], "tag": "9"},
        "web": {"enabled": True, "usersSecret": {"name": "10", "key": "11"}},
    }
    for example in ("prod", "postgres"):
        found = objects(example, values=words, release="123")
        assert [one for manifest in found for one in _texts(manifest) if not isinstance(one, str)] == []
    deployments = {one["metadata"]["name"] for one in objects("postgres", values=words) if one["kind"] == "Deployment"}
    assert deployments == {"true-listener-no", "true-listener-off", "true-on", "true-null", "true-web"}


def test_large_numbers_stay_whole() -> None:
    """Numbers from a million are written with all digits, in settings and elsewhere."""
    found = objects(
        "prod",
        values={
            "settings": {"FMQ_DEAD_RETENTION_SECONDS": 2592000, "FMQ_RETRY_JITTER": 0.5, "FMQ_FAIL_FAST": True},
            "processors": [{"name": "processor", "settings": {"FMQ_RETENTION_SECONDS": 31536000}}],
            "pod": {"terminationGracePeriodSeconds": 1000000},
            "keda": {"enabled": True, "threshold": 1000000},
        },
    )
    settings = _settings(found)
    assert settings["FMQ_DEAD_RETENTION_SECONDS"] == "2592000"
    assert (settings["FMQ_RETRY_JITTER"], settings["FMQ_FAIL_FAST"]) == ("0.5", "true")
    pod = pick(found, "StatefulSet", "fmq")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 1000000
    (processor,) = [one for one in pod["containers"] if one["name"] == "processor"]
    assert {"name": "FMQ_RETENTION_SECONDS", "value": "31536000"} in processor["env"]
    assert pick(found, "ScaledObject", "fmq")["spec"]["triggers"][0]["metadata"]["threshold"] == "1000000"


def test_texts_arrive_as_written() -> None:
    """Quotes, braces, dollars, lines and leading spaces change nothing in topics, settings, files and handlers."""
    config = "  # indented\n[processor]\nhandler = \"a:'b'\" # {{ .Values }} $(HOME) é\n"
    handler = "\n\n  # {{ }}\ndef handle(message): ...\n"
    odd = ["-", "{{ .Release.Name }}", 'a "b"', "it's/#", "*", "a: b", "# x", "\\n", "ü/é"]
    found = objects(
        "prod",
        values={
            "topics": odd,
            "settings": {"FMQ_LOG_LEVEL": "{{ x }}\n'\""},
            "config": config,
            "processors": [{"name": "processor", "config": config}],
            "handlers": {"mine.py": handler},
        },
    )
    assert _settings(found)["FMQ_TOPICS"] == ",".join(odd)
    assert _settings(found)["FMQ_LOG_LEVEL"] == "{{ x }}\n'\""
    assert pick(found, "ConfigMap", "fmq-config")["data"]["fmq.toml"] == config
    assert pick(found, "ConfigMap", "fmq-config-processor")["data"]["fmq.toml"] == config
    assert pick(found, "ConfigMap", "fmq-handlers")["data"]["mine.py"] == handler


@pytest.mark.parametrize("release", ["1fmq", "fmq.plant"])
def test_a_release_must_name_a_service(release: str) -> None:
    """A name that Kubernetes would refuse in a Service is refused by the chart, unless there is a better one."""
    done = template("prod", release=release)
    assert f'release "{release}": objects would be named "{release}"' in done.stderr
    assert template("prod", release=release, values={"fullnameOverride": "fmq"}).returncode == 0


def test_a_name_is_cut_at_a_letter() -> None:
    """A long name of a release does not end in hyphens when it is cut."""
    found = objects("prod", release=f"fmq{26 * 'a'}---production")
    assert {one["metadata"]["name"] for one in found if one["kind"] == "StatefulSet"} == {f"fmq{26 * 'a'}"}


def test_secrets_of_a_cloud_broker_are_refused() -> None:
    """What follows a question mark gives access, so it must not come into a ConfigMap; nor is it repeated."""
    for broker in ({"url": "wss://b.example.com/mqtt?X-Amz-Signature=hidden"}, {"username": "a?token=hidden"}):
        done = template("prod", values={"broker": broker})
        assert "a secret: expected" in done.stderr
        assert "FMQ_BROKER_QUERY_FILE" in done.stderr
        assert "hidden" not in done.stderr + done.stdout


def test_processors_may_not_set_what_the_chart_sets() -> None:
    """A processor's own port would make its probes fail; only its topics are its own."""
    done = template("prod", values={"processors": [{"name": "a", "settings": {"FMQ_HTTP_PORT": 1, "FMQ_TOPICS": "a"}}]})
    assert "settings.FMQ_HTTP_PORT: the chart sets it" in done.stderr
    assert "FMQ_TOPICS" not in done.stderr


def test_an_empty_section_is_reported() -> None:
    """`broker:` with nothing below it is null, which removes its defaults: the schema requires every value that has one."""
    assert "missing property 'broker'" in template("prod", values={"broker": None}).stderr
    done = template("prod", values={"processor": {"image": {"repository": None}}})
    assert "image.repository is missing" in done.stderr
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    missing: list[str] = []

    def compare(values: dict[str, Any], schema_of_it: dict[str, Any], path: str) -> None:
        for name, value in values.items():
            if value not in (None, [], {}) and name not in schema_of_it.get("required", ()):
                missing.append(f"{path}{name}")
            if "properties" in (inner := schema_of_it["properties"][name]):
                compare(value, inner, f"{path}{name}.")

    compare(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), schema, "")
    assert set(missing) <= {"monitoring.dashboards.labels"}


def test_schedules_may_be_words() -> None:
    """Kubernetes takes @daily; what is no schedule is refused."""
    upload = {"enabled": True, "image": "a", "command": ["b"]}
    for schedule, is_right in (("@daily", True), ("5 4 * * *", True), ("every day", False)):
        done = template("prod", values={"backup": {"enabled": True, "upload": {**upload, "schedule": schedule}}})
        assert (done.returncode == 0) == is_right, done.stderr


def test_a_backup_of_no_pod_is_refused() -> None:
    """No pod would restore it, and nobody would notice."""
    for name, is_right in (
        ("fmq-0/a.db", True),
        ("fmq-1/it's {{ x }}.db", True),
        ("plant-0/a.db", False),
        ("fmq/a.db", False),
    ):
        done = template("prod", values={"backup": {"enabled": True, "restore": name}})
        assert (done.returncode == 0) == is_right, done.stderr
        assert (f'backup.restore="{name}": no pod has this name: expected fmq-0/NAME.db' in done.stderr) != is_right
