"""The overlay for a store on PostgreSQL: pods that may run on any node, listeners that keep their client ids, and a database."""

import re
from typing import Any

import promql_parser as promql
import pytest
import yaml

from fmq_listener.settings import ListenerSettings
from k8s.manifests import (
    DATABASE,
    ON_SERVER,
    Workload,
    environment,
    manifests,
    of_kind,
    pick,
    rendered,
    selects,
    workloads,
)
from k8s.tools import Manifest


def _deployments(build: str, name: str) -> list[Workload]:
    """The Deployments with a container of that name."""
    return [one for one in workloads(build) if one.owner["kind"] == "Deployment" and one.has(name)]


def _client_id(build: str, workload: Workload) -> str:
    return environment(build, workload, workload.container("listener"))["FMQ_CLIENT_ID"]


@pytest.mark.parametrize("build", ON_SERVER)
def test_no_pod_is_bound_to_a_node(build: str) -> None:
    """The overlay has no StatefulSet and no claim: each pod can be replaced anywhere, within a minute after its node is gone."""
    assert not of_kind(build, "StatefulSet")
    for workload in workloads(build):
        assert not [one for one in workload.volumes.values() if "persistentVolumeClaim" in one]
        soon = {(one["key"], one["tolerationSeconds"]) for one in workload.spec["tolerations"]}
        assert soon == {(f"node.kubernetes.io/{what}", 60) for what in ("not-ready", "unreachable")}


@pytest.mark.parametrize("build", ON_SERVER)
def test_each_listener_keeps_its_client_id(build: str) -> None:
    """There are two, of one pod each, whose old pod ends before the new one begins; the ids differ and name no pod."""
    listeners = _deployments(build, "listener")
    ids = [_client_id(build, one) for one in listeners]
    assert ids == ["fmq-fmq-listener-a", "fmq-fmq-listener-b"]
    for one in listeners:
        assert one.owner["spec"]["replicas"] == 1
        assert one.owner["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
        topics = environment(build, one, one.container("listener"))["FMQ_TOPICS"].split(",")
        assert all(topic.startswith("$share/fmq/") for topic in topics)
    assert ListenerSettings.model_fields["session_expiry_seconds"].default > 0


@pytest.mark.parametrize("build", ON_SERVER)
def test_both_listeners_spread_together(build: str) -> None:
    """A node counts the pods of all listeners, not those of one, which would always be one."""
    pods = [one.labels for one in _deployments(build, "listener")]
    for workload in _deployments(build, "listener"):
        for constraint in workload.spec["topologySpreadConstraints"]:
            assert all(selects(constraint["labelSelector"], labels) for labels in pods)


@pytest.mark.parametrize("build", ON_SERVER)
def test_selectors_tell_pods_apart(build: str) -> None:
    """Each Deployment selects its own pods, a budget those of its kind, and no one those of a leaving Job."""
    for one in of_kind(build, "Deployment"):
        labels = one["spec"]["selector"]["matchLabels"]
        (own,) = [workload for workload in workloads(build) if labels.items() <= workload.labels.items()]
        assert own.owner["metadata"]["name"] == one["metadata"]["name"]
    for one in of_kind(build, "PodDisruptionBudget"):
        labels = one["spec"]["selector"]["matchLabels"]
        names = {w.name for w in workloads(build) if labels.items() <= w.labels.items()}
        assert names == {w.name for w in _deployments(build, labels["app.kubernetes.io/component"])}


@pytest.mark.parametrize("build", ON_SERVER)
def test_a_leaving_job_has_the_session_of_its_listener(build: str) -> None:
    """For each listener there is a Job that never starts on its own, with the same pod, which ends when it has left."""
    jobs = {_client_id(build, one): one for one in workloads(build) if one.owner["kind"] == "CronJob"}
    for listener in _deployments(build, "listener"):
        job = jobs.pop(_client_id(build, listener))
        assert job.owner["spec"]["suspend"] is True
        assert job.spec["restartPolicy"] == "OnFailure"
        assert job.spec["volumes"] == listener.spec["volumes"]
        mine, its = dict(job.container("listener")), dict(listener.container("listener"))
        assert mine.pop("args") == ["--leave"]
        probes = {name for name in its if "Probe" in name}
        assert mine == {name: value for name, value in its.items() if name not in probes}
    assert not jobs


@pytest.mark.parametrize("build", ON_SERVER)
def test_the_password_is_a_file_that_the_driver_takes(build: str) -> None:
    """It is copied to where PGPASSFILE says, readable by its owner alone, in memory; the URL has none."""
    for workload in workloads(build):
        (copy,) = workload.spec["initContainers"]
        program, *mode, source, target = copy["command"]
        assert (program, mode) == ("install", ["-m", "0600"])
        assert workload.mounts(copy)[source.rpartition("/")[0]]["secret"]["secretName"] == "fmq-postgres"
        for container in workload.spec["containers"]:
            variables = environment(build, workload, container)
            assert variables["PGPASSFILE"] == target
            place = workload.mounts(container)[target.rpartition("/")[0]]
            assert place["emptyDir"]["medium"] == "Memory"
            assert re.fullmatch(r"postgresql://fmq@[\w.-]+/fmq\?sslmode=require", variables["FMQ_QUEUE_URL"])


def test_containers_are_those_of_the_base() -> None:
    """Probes, resources and restrictions are the same as with a store in a volume."""

    def kept(container: Manifest) -> Manifest:
        return {name: value for name, value in container.items() if name not in ("env", "envFrom", "volumeMounts")}

    (base,) = [one for one in workloads("base") if one.name == "StatefulSet/fmq"]
    for name in ("listener", "processor"):
        for workload in _deployments("postgres", name):
            assert kept(workload.container(name)) == kept(base.container(name))


def test_processors_scale_by_the_backlog_of_the_store() -> None:
    """Out and in, by one number that does not grow with the number of pods that report it."""
    build = "postgres+monitoring+keda-processors"
    (scaled,) = of_kind(build, "ScaledObject")
    spec = scaled["spec"]
    (processor,) = _deployments(build, "processor")
    assert spec["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": processor.owner["metadata"]["name"],
    }
    assert "replicas" not in processor.owner["spec"]
    assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    assert "fallback" not in spec
    (trigger,) = spec["triggers"]
    expression = promql.parse(trigger["metadata"]["query"])
    assert isinstance(expression, promql.AggregateExpr)
    assert (str(expression.op), expression.modifier) == ("sum", None)
    assert isinstance(expression.expr, promql.AggregateExpr)
    assert (str(expression.expr.op), expression.expr.modifier.labels) == ("max", ["queue"])  # type: ignore[union-attr] # by (queue)


def test_the_database_keeps_what_is_acknowledged() -> None:
    """The example: three instances on three nodes, synchronous replication that is required, failover with a quorum.

    Field names are those of CloudNativePG 1.28 (its pages "Replication" and "Automated failover").
    """
    objects: list[dict[str, Any]] = list(yaml.safe_load_all(rendered(DATABASE)))
    assert {one["kind"] for one in objects} == {"Namespace", "Cluster", "NetworkPolicy"}
    cluster = pick(objects, "Cluster", "fmq")
    spec = cluster["spec"]
    assert cluster["apiVersion"] == "postgresql.cnpg.io/v1"
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {
        "method": "any",
        "number": 1,
        "dataDurability": "required",
        "failoverQuorum": True,
    }
    assert (spec["affinity"]["podAntiAffinityType"], spec["affinity"]["topologyKey"]) == (
        "required",
        "kubernetes.io/hostname",
    )
    assert spec["bootstrap"]["initdb"]["encoding"] == "UTF8"
    found = [one["data"] for one in manifests("postgres") if one["kind"] == "ConfigMap"]
    url = next(one["FMQ_QUEUE_URL"] for one in found if "FMQ_QUEUE_URL" in one)
    owner, database = spec["bootstrap"]["initdb"]["owner"], spec["bootstrap"]["initdb"]["database"]
    host = f"{cluster['metadata']['name']}-rw.{cluster['metadata']['namespace']}.svc"
    assert url.startswith(f"postgresql://{owner}@{host}/{database}?")
