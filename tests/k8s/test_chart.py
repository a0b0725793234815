"""The Helm chart: the same with every version of helm, with the rules of the manifests, and all that its values promise."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from k8s import test_monitoring, test_network, test_settings, test_workloads
from k8s.charts import CHART, CHARTS, EXAMPLES, FULL_CHARTS, chart, helm, objects, staged
from k8s.manifests import leave_job, of_kind, pick, selects, workloads
from k8s.tools import ROOT, Manifest


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
    first = objects(*examples, values=values, release="fmq")
    backup = {**values.get("backup", {}), "restore": ""}  # that of the first one's pod
    second = objects(*examples, values={**values, "backup": backup}, release="second")
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


def test_a_pod_that_leaves_has_all_its_processors() -> None:
    """The Job of scale_in.py handles the queues of all processors, which reach what they call, and makes no backups."""
    build = "chart with everything"
    spec = leave_job(pick(chart(build), "StatefulSet", "fmq"), 2)["spec"]["template"]
    started = {one["name"]: one.get("restartPolicy") for one in spec["spec"]["initContainers"]}
    assert started == {"restore": None, "processor": "Always", "alarms": "Always"}
    assert [one["name"] for one in spec["spec"]["containers"]] == ["listener"]
    for name in ("fmq-handlers", "fmq-broker", "fmq-dns"):
        policy = pick(chart(build), "NetworkPolicy", name)
        assert selects(policy["spec"]["podSelector"], spec["metadata"]["labels"])


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


def test_the_package_has_everything(tmp_path: Path) -> None:
    """`helm package` makes one file, from which a release with rules and dashboards can be made."""
    done = helm("package", staged(), "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.iterdir()
    wanted = ["--set", "monitoring.rules.enabled=true,monitoring.dashboards.enabled=true"]
    done = helm("template", "fmq", package, "--values", EXAMPLES / "prod.yaml", *wanted)
    assert done.returncode == 0, done.stderr
    assert "kind: PrometheusRule" in done.stdout
    assert "fmq-overview.json" in done.stdout


def test_the_folder_says_what_it_lacks() -> None:
    """In a checkout, the chart has no rules and dashboards, and says how to get them."""
    for what, word in (("rules", "The rules are"), ("dashboards", "The dashboards are")):
        values: list[str | Path] = ["--values", EXAMPLES / "prod.yaml", "--set", f"monitoring.{what}.enabled=true"]
        done = helm("template", "fmq", CHART, *values)
        assert done.returncode != 0
        assert f"{word} only in the packaged chart: run `make chart`" in done.stderr


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

    assert topics("a", "") == "$share/fmq.a-fmq/sensors/#"
    assert topics("b", "") == "$share/fmq.b-fmq/sensors/#"
    assert topics("a", "plant") == topics("b", "plant") == "$share/plant/sensors/#"
