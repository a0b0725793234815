"""Wrong values of the Helm chart are refused, with words that help."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fmq.service.settings import SettingsModel, is_secret, variable
from fmq_listener.settings import ListenerSettings
from fmq_processor.handlers import SETTINGS
from fmq_processor.settings import ProcessorSettings
from fmq_web.settings import WebSettings
from k8s.api_server import ApiServer
from k8s.charts import CHART, EXAMPLES, chart, helm, staged, template
from k8s.manifests import pick

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"store": {"kind": "mysql"}}, "'sqlite', 'postgres'"),
    ({"store": {"shard": 3}}, "'shard' not allowed"),
    ({"store": {"shards": 0}}, "minimum: got 0, want 1"),
    ({"topics": "sensors/#"}, "got string, want array"),
    ({"topics": []}, "minItems: got 0, want 1"),
    ({"settings": {"BATCH": 10}}, "at '/settings': additional properties 'BATCH' not allowed"),
    ({"handlers": {"mine": "pass"}}, "at '/handlers': additional properties 'mine' not allowed"),
    ({"settings": {"FMQ_TOPICS": "a"}}, "settings.FMQ_TOPICS: the chart sets it from other values"),
    ({"image": {"pullPolicy": "Sometimes"}}, "'Always', 'IfNotPresent', 'Never'"),
    ({"listener": {"image": {"digest": "sha256:12"}}}, "/listener/image/digest"),
    ({"keda": {"by": "cpu"}}, "'intake', 'backlog'"),
    ({"keda": {"enabled": True, "min": 5, "max": 2}}, "keda.max=2: expected at least keda.min, which is 5"),
    ({"broker": {"url": ""}}, "broker.url is missing"),
    ({"broker": {"url": "broker.example.com"}}, "expected mqtt://, mqtts://, ws:// or wss:// and a host"),
    ({"broker": {"url": "mqtt://fmq:pass@broker"}}, "broker.url contains a user"),
    ({"broker": {"peers": []}}, "broker.peers is empty"),
    ({"store": {"kind": "postgres"}}, "store.postgres.url is missing"),
    ({"processors": [{"name": "a"}, {"name": "a"}]}, "occurs twice"),
    ({"processors": [{"name": "web"}]}, "is taken"),
    ({"processors": [{"replicas": 2}]}, "missing property 'name'"),
    ({"processors": [{"name": f"p{one}"} for one in range(10)]}, "expected at most 9"),
    ({"backup": {"enabled": True}, "store": {"shards": 2}}, "expected ReadWriteMany for several shards"),
    ({"backup": {"restore": "fmq-0/a.db"}}, "backup.enabled=false: expected true"),
    ({"web": {"ingress": {"enabled": True}}}, "expected web.enabled=true and web.ingress.host"),
]


@pytest.mark.parametrize(("values", "words"), WRONG, ids=lambda one: one if isinstance(one, str) else "")
def test_wrong_values_are_refused(values: dict[str, Any], words: str) -> None:
    """Helm makes nothing, and says which value is wrong and what is expected."""
    done = template("prod", values=values)
    assert done.returncode != 0
    assert words in done.stderr
    assert "pass@" not in done.stderr


def test_all_wrong_values_are_reported_at_once() -> None:
    """What the chart itself checks is one list."""
    done = template("prod", values={"broker": {"url": "x", "peers": []}, "settings": {"FMQ_TOPICS": "a"}})
    assert [one.partition("=")[0].split()[0] for one in re.findall(r"^  (\S.*)$", done.stderr, re.MULTILINE)] == [
        "broker.url",
        "broker.peers",
        "settings.FMQ_TOPICS:",
    ]


@pytest.mark.parametrize("tool", ["helm", "helm3"])
@pytest.mark.parametrize("shards", [1, 3, 4])
def test_shards_leave_before_there_are_fewer(tmp_path: Path, tool: str, shards: int) -> None:
    """In a cluster with three pods, helm refuses a lower number, and says how to make the others leave."""
    with ApiServer(tmp_path) as api:
        api.add("statefulsets", {**pick(chart("chart sharded"), "StatefulSet", "fmq"), "status": {}})
        values: list[str | Path] = ["--values", EXAMPLES / "prod.yaml", "--set", f"store.shards={shards}"]
        cluster: list[str | Path] = ["--dry-run=server", "--kubeconfig", api.kubeconfig]
        done = helm("template", "fmq", staged(), "--namespace", "fmq", *values, *cluster, tool=tool)
    refusal = f"store.shards={shards}: there are 3. First run scale_in.py --namespace fmq --name fmq --to {shards}"
    assert (refusal in done.stderr) == (shards < 3)


def test_secrets_are_refused_in_settings() -> None:
    """No secret of any part of fmq can be written into values, which end in a ConfigMap."""
    models: tuple[type[SettingsModel], ...] = (ListenerSettings, ProcessorSettings, WebSettings, *SETTINGS.values())
    secrets = {variable(name) for model in models for name, one in model.model_fields.items() if is_secret(one)}
    assert len(secrets) > 4
    settings = dict.fromkeys(secrets, "hidden")
    for values in ({"settings": settings}, {"processors": [{"name": "processor", "settings": settings}]}):
        done = template("prod", values=values)
        for name in secrets:
            assert f"settings.{name} is a secret" in done.stderr
        assert "hidden" not in done.stderr


def test_every_value_is_in_the_schema() -> None:
    """values.yaml has exactly the values that the schema knows, so that a mistyped one is refused at any depth."""

    def names(schema: dict[str, Any]) -> set[str]:
        return set(schema.get("properties", {}))

    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))

    def compare(values: dict[str, Any], schema_of_it: dict[str, Any], path: str) -> None:
        if "$ref" in schema_of_it:
            schema_of_it = schema["definitions"][schema_of_it["$ref"].rpartition("/")[2]]
        if "properties" not in schema_of_it or path.endswith(".resources"):
            return
        assert schema_of_it["additionalProperties"] is False, path
        assert names(schema_of_it) - {"global"} == set(values), path
        for name, value in values.items():
            if isinstance(value, dict):
                compare(value, schema_of_it["properties"][name], f"{path}.{name}")

    compare(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), schema, "values")
