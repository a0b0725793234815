"""The Helm chart: what kustomize makes, in every version of helm, and all that its values promise."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from fmq.service.settings import SettingsModel, is_secret, variable
from fmq_listener.settings import ListenerSettings
from fmq_processor.handlers import SETTINGS
from fmq_processor.settings import ProcessorSettings
from fmq_web.settings import WebSettings
from k8s import test_monitoring, test_network, test_settings, test_workloads
from k8s.charts import CHART, CHARTS, EXAMPLES, FULL_CHARTS, chart, helm, objects, staged, template
from k8s.manifests import manifests, of_kind, selects, workloads
from k8s.tools import ROOT, Manifest

EQUAL: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "dev": (("dev",), {}),
    "prod+web": (("prod",), {"web": {"enabled": True}}),
    "sharded+monitoring+keda+web": (
        ("prod", "sharded"),
        {
            "web": {"enabled": True},
            "keda": {"enabled": True, "max": 6},
            "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}},
        },
    ),
    "postgres": (("postgres",), {}),
    "postgres+monitoring+keda-processors": (
        ("postgres",),
        {"keda": {"enabled": True}, "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}}},
    ),
    "postgres+monitoring+web": (
        ("postgres",),
        {"web": {"enabled": True}, "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}}},
    ),
}
"""Builds by kustomize, and the values with which the chart makes the same."""
ONLY_KUSTOMIZE = {
    r"Namespace/.*": "helm makes namespaces with --create-namespace",
    r".*/mosquitto.*": "the chart brings no broker: dev's is for trying kustomize",
    r"Secret/fmq-broker": "the chart makes no Secrets: passwords don't belong in values",
    r"Job/fmq-leave-2": "made by scale_in.py, not by an overlay",
}
ONLY_HELM = {
    r"(Pod|NetworkPolicy)/fmq-test": "the hook of helm test",
}
DIFFERENT = {
    r"\.metadata\.labels\.(helm\.sh/chart|app\.kubernetes\.io/version)": "labels that helm's users expect",
    r"\.metadata\.labels\.app\.kubernetes\.io/managed-by": "the tool that made it",
    r"\.metadata\.labels\.app\.kubernetes\.io/(name|instance|part-of)": "generators and monitoring of kustomize set fewer labels",
    r"\.spec\.jobTemplate\.metadata\.labels\.fmq-listener": "kustomize labels the Jobs too, which nothing selects",
    r"\.spec(\.jobTemplate\.spec)?\.template\.metadata\.annotations\.checksum/.*": "kustomize puts the hash of the settings into names",
    r"ConfigMap/fmq-config\.data\.fmq\.toml": "its comments; a test of its own compares the settings",
    r"NetworkPolicy/fmq-broker\.spec\.egress\.0\.to\.0\.podSelector\..*instance": "dev's own broker has the instance's label",
    r"StatefulSet/fmq\..*\.(web-)?broker-ca\..*": "the component web can't know whether its overlay mounts the CA; the chart does",
}
"""Patterns of paths that may differ, each with its reason."""


def _flat(found: Any, path: str) -> Iterator[tuple[str, object]]:  # noqa: ANN401 - any part of a manifest
    """All values within a manifest by path; what has a name by its name, since order means nothing there."""
    if isinstance(found, dict):
        for name, one in found.items():
            yield from _flat(one, f"{path}.{name}")
    elif isinstance(found, list):
        for position, one in enumerate(found):
            name = one.get("name", position) if isinstance(one, dict) else position
            yield from _flat(one, f"{path}.{name}")
    else:
        yield path, found


def _by_name(all_of_them: tuple[Manifest, ...] | list[Manifest]) -> dict[str, dict[str, object]]:
    """Flat manifests by kind and name, without the hashes that kustomize appends."""
    text = json.dumps(all_of_them)
    text = re.sub(r'"((?:fmq|mosquitto)-[a-z]+)-[a-z0-9]{10}"', r'"\1"', text)
    return {
        f"{one['kind']}/{one['metadata']['name']}": dict(_flat(one, f"{one['kind']}/{one['metadata']['name']}"))
        for one in json.loads(text)
    }


def _reason(path: str, reasons: dict[str, str]) -> str | None:
    return next((pattern for pattern in reasons if re.search(f"{pattern}$", path)), None)


def _differences(build: str) -> Iterator[tuple[str, str | None]]:
    """Every difference between a build and the chart, with the pattern that gives its reason."""
    examples, values = EQUAL[build]
    mine, its = _by_name(manifests(build)), _by_name(objects(*examples, values=values))
    yield from ((name, _reason(name, ONLY_KUSTOMIZE)) for name in mine.keys() - its.keys())
    yield from ((name, _reason(name, ONLY_HELM)) for name in its.keys() - mine.keys())
    for name in mine.keys() & its.keys():
        for path in mine[name].keys() | its[name].keys():
            if mine[name].get(path) != its[name].get(path):
                yield path, _reason(path, DIFFERENT)


@pytest.mark.parametrize("build", EQUAL)
def test_chart_and_overlay_are_equal(build: str) -> None:
    """The chart makes what the overlay makes, except differences that are listed with a reason."""
    assert [path for path, reason in _differences(build) if reason is None] == []


def test_every_reason_is_needed() -> None:
    """No pattern is left from a difference that no longer exists."""
    used = {reason for build in EQUAL for _, reason in _differences(build)}
    assert used == {*ONLY_KUSTOMIZE, *ONLY_HELM, *DIFFERENT}


def test_the_configuration_files_have_the_same_settings() -> None:
    """The default of the value config is k8s/base/fmq.toml."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

    def settings(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert settings(values["config"]) == settings((ROOT / "k8s" / "base" / "fmq.toml").read_text("utf-8"))


@pytest.mark.parametrize("build", CHARTS)
def test_both_versions_of_helm_make_the_same(build: str) -> None:
    """Helm 3 and helm 4 render the same objects."""
    examples, values = CHARTS[build]

    def order(one: Manifest) -> tuple[str, str]:
        return one["kind"], one["metadata"]["name"]

    assert sorted(chart(build), key=order) == sorted(objects(*examples, values=values, tool="helm3"), key=order)


@pytest.mark.parametrize("tool", ["helm", "helm3"])
def test_lint_is_strict(tool: str) -> None:
    """`helm lint --strict` has no warning for any of the examples."""
    for examples, _ in CHARTS.values():
        files = [text for one in examples for text in ("--values", str(EXAMPLES / f"{one}.yaml"))]
        done = helm("lint", "--strict", staged(), *files, tool=tool)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_releases_are_two_instances(kind: str) -> None:
    """In one namespace, no object of one release has a name of the other's, and no selector takes its pods."""
    examples, values = CHARTS["chart with everything" + (", postgres" if kind == "postgres" else "")]
    first, second = (objects(*examples, values=values, release=one) for one in ("fmq", "second"))
    names = [{(one["kind"], one["metadata"]["name"]) for one in release} for release in (first, second)]
    assert not names[0] & names[1]
    for own, other in ((first, second), (second, first)):
        pods = [labels for one in other for labels in _labels_of_pods(one)]
        mine = [labels for one in own for labels in _labels_of_pods(one)]
        for selector in (one for manifest in own for one in _selectors(manifest)):
            assert any(selects(selector, labels) for labels in mine)
            assert not any(selects(selector, labels) for labels in pods)


def _labels_of_pods(one: Manifest) -> Iterator[dict[str, str]]:
    if one["kind"] == "Pod":
        yield one["metadata"]["labels"]
    spec = one.get("spec", {})
    spec = spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec
    if "template" in spec:
        yield spec["template"]["metadata"]["labels"]


def _selectors(one: Manifest) -> Iterator[Manifest]:
    """The main selector of an object."""
    spec = one.get("spec", {})
    if "podSelector" in spec:
        yield spec["podSelector"]
    elif "matchLabels" in spec.get("selector", {}):
        yield spec["selector"]
    elif "selector" in spec:
        yield {"matchLabels": {k: v for k, v in spec["selector"].items() if "pod-index" not in k}}


CHECKS: list[Callable[..., None]] = [
    test_workloads.test_pods_meet_the_restricted_standard,
    test_workloads.test_one_user_owns_the_files,
    test_workloads.test_pods_can_not_reach_the_api,
    test_workloads.test_ports_of_a_pod_differ,
    test_workloads.test_services_lead_to_ports,
    test_workloads.test_memory_is_bounded,
    test_workloads.test_pods_spread_and_drain,
    test_workloads.test_the_last_log_lines_say_why_a_pod_ended,
    test_network.test_everything_is_denied_first,
    test_network.test_names_are_resolved,
    test_settings.test_settings_exist,
    test_settings.test_no_service_sets_a_setting,
]


@pytest.mark.parametrize("build", CHARTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("test_"))
def test_rules_of_the_manifests_hold(check: Callable[..., None], build: str) -> None:
    """What the tests of the manifests demand holds for the chart, also with every value set."""
    check(build)


@pytest.mark.parametrize("build", FULL_CHARTS)
def test_alerts_ask_for_metrics_that_there_are(build: str) -> None:
    """The rules in the chart are those of monitoring/, and the autoscaler asks for one number."""
    (rules,) = of_kind(build, "PrometheusRule")
    source = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "rules" / "fmq.yaml").read_text("utf-8"))
    assert rules["spec"] == source
    test_monitoring.test_autoscaling_asks_for_one_number(build)
    for one in (rules, *of_kind(build, "PodMonitor")):
        assert one["metadata"]["labels"]["release"] == "kube-prometheus-stack"


@pytest.mark.parametrize("build", FULL_CHARTS)
def test_dashboards_are_those_of_grafana(build: str) -> None:
    """Each dashboard of monitoring/ is a ConfigMap with the sidecar's label and the same content."""
    found = {
        name: json.loads(text)
        for one in of_kind(build, "ConfigMap")
        if one["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in one["data"].items()
    }
    sources = (ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json")
    assert found == {one.name: json.loads(one.read_text("utf-8")) for one in sources}
    assert found


@pytest.mark.parametrize("build", CHARTS)
def test_every_metrics_port_is_open_and_scraped(build: str) -> None:
    """Each port of the pods but the page's is in the policy for metrics, and in the PodMonitor if there is one."""
    ports = {
        port["name"]
        for workload in workloads(build)
        for container in workload.containers
        for port in container.get("ports", [])
    } - {"web"}
    policies = [one for one in of_kind(build, "NetworkPolicy") if "Ingress" in one["spec"]["policyTypes"]]
    opened = {
        port["port"] for one in policies for rule in one["spec"].get("ingress", []) for port in rule.get("ports", [])
    }
    assert ports <= opened
    for monitor in of_kind(build, "PodMonitor"):
        assert ports <= {one["port"] for one in monitor["spec"]["podMetricsEndpoints"]}


def test_values_reach_the_pods() -> None:
    """Images by digest and from the registry, scheduling, extra variables and volumes are in each pod that they are for."""
    for build in FULL_CHARTS:
        for workload in workloads(build):
            pod = CHARTS[build][1]["pod"]
            assert pod["labels"].items() <= workload.labels.items()
            assert pod["annotations"].items() <= workload.pod["metadata"]["annotations"].items()
            assert workload.spec["imagePullSecrets"] == [{"name": "registry"}]
            assert workload.spec["nodeSelector"] == pod["nodeSelector"]
            assert workload.spec["affinity"] == pod["affinity"]
            assert pod["tolerations"][0] in workload.spec["tolerations"]
            assert workload.spec["priorityClassName"] == "high"
            for container in workload.spec["containers"]:
                assert container["image"].startswith("registry.example.com/")
                if container["name"] in ("listener", "processor", "alarms", "web"):
                    assert {"name": "TZ", "value": "UTC"} in container["env"]
                    assert "/extra" in workload.mounts(container)
                if container["name"] in ("processor", "alarms"):
                    assert container["image"] == f"registry.example.com/iot/fmq-processor@sha256:{'0' * 64}"
                    assert "/handlers" in workload.mounts(container)


def test_processors_have_their_own_files_and_settings() -> None:
    """Next to a listener, each is a container with ports of its own; with PostgreSQL, each is a Deployment."""
    (pod,) = [one for one in workloads("chart with everything") if one.owner["kind"] == "StatefulSet"]
    assert {"listener", "processor", "alarms", "web", "backup"} <= {one["name"] for one in pod.spec["containers"]}
    deployments = {
        one.owner["metadata"]["name"]: one
        for one in workloads("chart with everything, postgres")
        if one.has("processor")
    }
    assert deployments.keys() == {"fmq-processor", "fmq-alarms"}
    assert deployments["fmq-alarms"].owner["spec"]["replicas"] == 2
    for workload, name in ((pod, "alarms"), (deployments["fmq-alarms"], "processor")):
        container = workload.container(name)
        assert workload.mounts(container)["/etc/fmq"]["configMap"] == {"name": "fmq-config-alarms"}
        assert {"name": "FMQ_TOPICS", "value": "alarms/#"} in container["env"]


def _helm_test_pods() -> Iterator[Manifest]:
    for build in CHARTS:
        (pod,) = of_kind(build, "Pod")
        yield pod


def test_the_hook_of_helm_test_is_a_pod_like_the_others() -> None:
    """It is restricted as they are, is removed when it succeeds, and uses the image of the processor."""
    for pod in _helm_test_pods():
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
        assert "hook-succeeded" in pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["restartPolicy"] == "Never"
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "fmq-processor" in container["image"]


def test_versions_are_those_of_fmq() -> None:
    """Chart and images have fmq's version."""
    about = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    (version,) = re.findall(
        r'^version = "(.*)"$', (ROOT / "shared" / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    assert about["version"] == about["appVersion"] == version


def test_notes_say_what_comes_next() -> None:
    """The text after an installation has the Secrets to create and commands with the names of the release."""
    values = ["--values", str(EXAMPLES / "prod.yaml"), "--set", "web.enabled=true"]
    done = helm("install", "plant", staged(), "--namespace", "iot", "--dry-run=client", *values)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    for command in (
        "kubectl -n iot create secret generic fmq-broker --from-file=password=",
        "kubectl -n iot create configmap fmq-broker-ca --from-file=ca.crt=",
        "kubectl -n iot rollout status statefulset/plant-fmq",
        "helm -n iot test plant",
        "kubectl -n iot exec plant-fmq-0 -c processor -- fmq status",
        "kubectl -n iot port-forward pod/plant-fmq-0 9466",
    ):
        assert command in notes


def test_a_release_shares_its_topics_under_its_own_name() -> None:
    """Two releases with the same topics don't take each other's messages, unless they are given one group."""

    def topics(release: str, group: str) -> str:
        found = objects("postgres", values={"sharedGroup": group}, release=release)
        (settings,) = [one for one in found if one["metadata"]["name"].endswith("-settings")]
        return str(settings["data"]["FMQ_TOPICS"])

    assert topics("a", "") == "$share/fmq-a-fmq/sensors/#"
    assert topics("b", "") == "$share/fmq-b-fmq/sensors/#"
    assert topics("a", "plant") == topics("b", "plant") == "$share/plant/sensors/#"


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


def test_secrets_are_refused_in_settings() -> None:
    """No secret of any part of fmq can be written into values, which end in a ConfigMap."""
    models: tuple[type[SettingsModel], ...] = (ListenerSettings, ProcessorSettings, WebSettings, *SETTINGS.values())
    secrets = {variable(name) for model in models for name, one in model.model_fields.items() if is_secret(one)}
    assert len(secrets) > 4
    done = template("prod", values={"settings": dict.fromkeys(secrets, "hidden")})
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
