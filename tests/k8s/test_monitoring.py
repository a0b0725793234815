"""Monitoring and autoscaling: what is asked for exists, and can be asked."""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import yaml

from k8s.manifests import BUILDS, ON_SERVER, ON_VOLUME, Workload, of_kind, workloads
from k8s.tools import ROOT

MONITORED = [one for one in BUILDS if "monitoring" in one]
SCALED = [one for one in ON_VOLUME if "keda" in one]
ADDED_BY_PROMETHEUS = {"namespace", "installation", "pod", "container", "job", "instance"}


def _documented() -> dict[str, set[str]]:
    """Every metric with its labels, from the page that is made from the code."""
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", page, re.MULTILINE)
    found: dict[str, set[str]] = {}
    for name, kind, labels in rows:
        endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for ending in endings:
            known = found.setdefault(name + ending, {"le"} if ending == "_bucket" else set())
            known |= set(re.findall(r"`(\w+)`", labels))
    assert len(found) > 20
    return found | {"up": set()}  # which Prometheus makes


METRICS = _documented()


def _selectors(expression: promql.Expr) -> list[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> bool:
        match node:
            case promql.VectorSelector():
                found.append(node)
            case promql.MatrixSelector():
                found.append(node.vector_selector)
        return True

    promql.walk(expression, visit)
    return found


def _grouping(expression: promql.Expr) -> list[list[str]]:
    found: list[list[str]] = []

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found.append(list(node.modifier.labels))
        return True

    promql.walk(expression, visit)
    return found


def _check(text: str) -> promql.Expr:
    """Parse an expression, and see that it asks for metrics and labels that there are."""
    expression = promql.parse(text)
    selectors = _selectors(expression)
    assert selectors, f"asks for nothing: {text}"
    labels: set[str] = set()
    for one in selectors:
        assert one.name in METRICS, f"no such metric: {one.name}"
        for matcher in one.matchers.matchers:
            assert matcher.name in METRICS[one.name] | ADDED_BY_PROMETHEUS
            if matcher.name == "state":
                assert matcher.value in ("pending", "claimed", "done", "dead")
        labels |= METRICS[one.name]
    for group in _grouping(expression):
        assert set(group) <= labels | ADDED_BY_PROMETHEUS
    return expression


def _rules(build: str) -> Iterator[dict[str, Any]]:
    for one in of_kind(build, "PrometheusRule"):
        for group in one["spec"]["groups"]:
            yield from group["rules"]


@pytest.mark.parametrize("build", MONITORED)
def test_rules_ask_for_metrics_that_there_are(build: str) -> None:
    """Each expression parses, and uses only metrics and labels of docs/metrics.md."""
    assert len([_check(rule["expr"]) for rule in _rules(build)]) >= 5


@pytest.mark.parametrize("build", MONITORED)
def test_rules_are_those_of_the_one_source(build: str) -> None:
    """Recording rules and alerts are what monitoring/prometheus says, word for word."""
    source = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "rules" / "fmq.yaml").read_text("utf-8"))
    (deployed,) = of_kind(build, "PrometheusRule")
    assert deployed["spec"]["groups"] == source["groups"]
    assert {kind for rule in _rules(build) for kind in ("record", "alert") if kind in rule} == {"record", "alert"}


@pytest.mark.parametrize(
    "text", ["fmq_no_such_metric > 0", 'fmq_messages{state="lost"}', "sum by (topic) (fmq_connected)"]
)
def test_wrong_expressions_are_found(text: str) -> None:
    """The check above fails for a metric, a state or a label that does not exist."""
    with pytest.raises(AssertionError):
        _check(text)


@pytest.mark.parametrize("build", MONITORED)
def test_rules_can_be_read_by_who_is_woken(build: str) -> None:
    """Each alert has a name that begins with Fmq, a severity, a summary without values and a description; its labels are there."""
    names = []
    for rule in _rules(build):
        if "record" in rule:
            assert re.fullmatch(r"queue:fmq_\w+:\w+", rule["record"])
            continue
        names.append(rule["alert"])
        assert re.fullmatch(r"Fmq[A-Z][A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert "{{" not in rule["annotations"]["summary"]
        expression = promql.parse(rule["expr"])
        kept = {label for group in _grouping(expression) for label in group}
        for selector in _selectors(expression):
            kept |= {matcher.name for matcher in selector.matchers.matchers}
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
        assert used <= kept, f"{rule['alert']}: no such label at the end: {used - kept}"
    assert len(names) == len(set(names))


@pytest.mark.parametrize("build", MONITORED)
def test_pods_of_one_store_count_as_one(build: str) -> None:
    """The rules take each installation and pod for a store: pods that share one on PostgreSQL have no label pod, all others do."""
    (monitor,) = of_kind(build, "PodMonitor")
    dropped = [one.get("metricRelabelings") for one in monitor["spec"]["podMetricsEndpoints"]]
    expected = [{"action": "labeldrop", "regex": "pod"}] if build in ON_SERVER else None
    assert dropped == [expected] * 3


@pytest.mark.parametrize("build", MONITORED)
def test_targets_name_their_installation(build: str) -> None:
    """The label that rules and dashboards tell installations apart by is the name of the instance, also of a target that is down."""
    (monitor,) = of_kind(build, "PodMonitor")
    named = {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_instance"], "targetLabel": "installation"}
    assert all(one["relabelings"] == [named] for one in monitor["spec"]["podMetricsEndpoints"])


@pytest.mark.parametrize("build", MONITORED)
def test_store_gauges_are_not_summed(build: str) -> None:
    """Both containers of a pod show the store's figures: rules take max, min or a time of them, never a sum."""
    store = {"fmq_messages", "fmq_oldest_pending_timestamp_seconds", "fmq_database_bytes", "fmq_wal_bytes"}
    for rule in _rules(build):
        sums: list[str] = []

        def visit(node: promql.Expr, sums: list[str] = sums) -> bool:
            if isinstance(node, promql.AggregateExpr) and str(node.op) == "sum":
                sums.extend(one.name or "" for one in _selectors(node))
            return True

        promql.walk(promql.parse(rule["expr"]), visit)
        assert not store & set(sums)


def _targets(build: str) -> Iterator[tuple[Workload, str]]:
    """Pods and ports that the PodMonitor makes Prometheus ask."""
    (monitor,) = of_kind(build, "PodMonitor")
    selector = monitor["spec"]["selector"]["matchLabels"].items()
    for workload in workloads(build):
        if selector <= workload.labels.items():
            yield from ((workload, one["port"]) for one in monitor["spec"]["podMetricsEndpoints"])


@pytest.mark.parametrize("build", MONITORED)
def test_every_metrics_port_is_scraped(build: str) -> None:
    """The PodMonitor takes in all metrics ports of fmq pods, at the path that serves metrics, and no other pods."""
    targets = list(_targets(build))
    assert {port for _, port in targets} == {f"{name}-http" for name in ("listener", "processor", "web")}
    assert all(workload.is_ours for workload, _ in targets)
    (monitor,) = of_kind(build, "PodMonitor")
    assert all(one["path"] == "/metrics" for one in monitor["spec"]["podMetricsEndpoints"])
    for workload in workloads(build):
        if workload.is_ours:
            ports = {port["name"] for one in workload.containers for port in one.get("ports", [])}
            assert ports - {"web"} <= {port for _, port in targets}


@pytest.mark.parametrize("build", SCALED)
def test_autoscaling_never_scales_in(build: str) -> None:
    """Neither KEDA nor its autoscaler takes a pod away, and no manifest resets the count."""
    (scaled,) = of_kind(build, "ScaledObject")
    spec = scaled["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "fmq"}
    assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
    assert "idleReplicaCount" not in spec
    assert "fallback" not in spec
    assert spec["advanced"]["restoreToOriginalReplicaCount"] is False
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"] == {"selectPolicy": "Disabled"}
    (workload,) = [one for one in workloads(build) if one.name == "StatefulSet/fmq"]
    assert "replicas" not in workload.owner["spec"]


@pytest.mark.parametrize("build", SCALED)
def test_autoscaling_asks_for_one_number(build: str) -> None:
    """The query is a sum without grouping of metrics that there are, and no series counts as a fault."""
    (scaled,) = of_kind(build, "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    expression = _check(trigger["metadata"]["query"])
    assert isinstance(expression, promql.AggregateExpr)
    assert expression.modifier is None
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert float(trigger["metadata"]["threshold"]) > 0


def test_the_minimum_is_the_number_of_shards() -> None:
    """KEDA's minimum is the count that the overlay has without it."""
    (scaled,) = of_kind("sharded+keda", "ScaledObject")
    (workload,) = [one for one in workloads("sharded") if one.name == "StatefulSet/fmq"]
    assert scaled["spec"]["minReplicaCount"] == workload.owner["spec"]["replicas"]
