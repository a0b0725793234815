"""What no schema knows of the pods."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fmq.service.environment import load
from fmq.service.settings import ServiceSettings
from fmq_processor.settings import ProcessorSettings
from k8s.manifests import (
    BUILDS,
    K8S,
    ON_VOLUME,
    SERVICES,
    Workload,
    brought,
    environment,
    has_web,
    manifests,
    of_kind,
    our_containers,
    selects,
    with_file,
    workloads,
)
from k8s.tools import Manifest

UID = 10001
USUAL_MARGIN = 20


def _references(workload: Workload) -> set[tuple[str, str, str]]:
    """Kind, name and key of each thing that a pod needs; an empty key where all of it is taken."""
    found: set[tuple[str, str, str]] = set()
    for volume in workload.volumes.values():
        for kind, field, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if field in volume and not volume[field].get("optional"):
                items = volume[field].get("items") or [{"key": ""}]
                found |= {(kind, volume[field][name], one["key"]) for one in items}
    for container in workload.containers:
        for source in container.get("envFrom", []):
            for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if field in source:
                    found.add((kind, source[field]["name"], ""))
        for variable in container.get("env", []):
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                source = variable.get("valueFrom", {}).get(field)
                if source and not source.get("optional"):
                    found.add((kind, source["name"], source["key"]))
    return found


@pytest.mark.parametrize("build", BUILDS)
def test_everything_referenced_exists(build: str) -> None:
    """Each ConfigMap, Secret and key is in the build, or the page says to create it; the same holds for accounts."""
    there: set[tuple[str, str, str]] = set(brought(build))
    for kind in ("ConfigMap", "Secret"):
        for one in of_kind(build, kind):
            keys = [*one.get("data", {}), *one.get("stringData", {}), ""]
            there |= {(kind, one["metadata"]["name"], key) for key in keys}
    accounts = {one["metadata"]["name"] for one in of_kind(build, "ServiceAccount")}
    for workload in workloads(build):
        assert _references(workload) <= there
        assert workload.spec["serviceAccountName"] in accounts


@pytest.mark.parametrize("build", BUILDS)
def test_what_is_brought_is_used(build: str) -> None:
    """The page asks only for what a pod needs."""
    needed = set().union(*map(_references, workloads(build)))
    assert brought(build) <= needed


@pytest.mark.parametrize("build", ON_VOLUME)
def test_both_containers_have_the_same_claim(build: str) -> None:
    """Listener and processor of a pod mount one claim, whole and writable, where FMQ_QUEUE_URL has the database."""
    for workload in workloads(build):
        if not workload.is_ours:
            continue
        claims = set()
        for container in workload.containers:
            path = environment(build, workload, container)["FMQ_QUEUE_URL"].removeprefix("sqlite:///")
            (mount,) = [one for one in container["volumeMounts"] if path.startswith(f"{one['mountPath']}/")]
            assert "subPath" not in mount, "a mounted file loses its write-ahead log"
            assert not mount.get("readOnly")
            claims.add((path, workload.volumes[mount["name"]]["persistentVolumeClaim"]["claimName"]))
        names = {one["name"] for one in workload.containers}
        with_page = has_web(build) and workload.owner["kind"] == "StatefulSet"
        assert names == {"listener", "processor", *(["web"] if with_page else [])}
        assert len(claims) == 1


@pytest.mark.parametrize("build", BUILDS)
def test_claims_outlive_pods_and_have_one_at_a_time(build: str) -> None:
    """Claims are ReadWriteOncePod, kept by the StatefulSet, and free of labels that an upgrade would want to change."""
    for one in of_kind(build, "StatefulSet"):
        assert one["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        for claim in one["spec"]["volumeClaimTemplates"]:
            assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
            assert "labels" not in claim["metadata"]


@pytest.mark.parametrize("build", BUILDS)
def test_one_pod_unless_subscriptions_are_shared(build: str) -> None:
    """Where there can be more than one pod, every topic filter is a shared one; otherwise each would store it all."""
    for workload in workloads(build):
        if workload.owner["kind"] != "StatefulSet" or not workload.is_ours:
            continue
        topics = environment(build, workload, workload.container("listener"))["FMQ_TOPICS"].split(",")
        if workload.owner["spec"].get("replicas") != 1:
            assert build.startswith("sharded")
            assert all(topic.startswith("$share/fmq/") for topic in topics)


@pytest.mark.parametrize("build", BUILDS)
def test_pods_meet_the_restricted_standard(build: str) -> None:
    """Every field that the restricted Pod Security Standard asks for is set; a namespace that is made enforces it."""
    namespaces = of_kind(build, "Namespace")
    assert bool(namespaces) == (build.startswith("dev") or build == "prod+namespace")
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    assert all(levels.items() <= one["metadata"]["labels"].items() for one in namespaces)
    for workload in workloads(build):
        spec, context = workload.spec, workload.spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any(spec.get(one) for one in ("hostNetwork", "hostPID", "hostIPC"))
        for volume in workload.volumes.values():
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        for container in workload.containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["privileged"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert not {"runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile"} & set(own), "the pod's hold"
            assert all("hostPort" not in port for port in container.get("ports", []))


@pytest.mark.parametrize("build", BUILDS)
def test_the_last_log_lines_say_why_a_pod_ended(build: str) -> None:
    """`kubectl describe pod` shows them: a service that can't start writes its reason into the log."""
    for workload in workloads(build):
        for container in workload.containers:
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize("build", BUILDS)
def test_one_user_owns_the_files(build: str) -> None:
    """All fmq containers run as the images' user, and the volume belongs to its group."""
    for workload in workloads(build):
        context = workload.spec["securityContext"]
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] != 0
        assert context["fsGroupChangePolicy"] == "OnRootMismatch"
        assert not workload.is_ours or context["runAsUser"] == UID


@pytest.mark.parametrize("build", BUILDS)
def test_pods_can_not_reach_the_api(build: str) -> None:
    """No pod carries a token, and no account hands one out."""
    for workload in workloads(build):
        assert workload.spec["automountServiceAccountToken"] is False
    for account in of_kind(build, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    assert not of_kind(build, "RoleBinding")
    assert not of_kind(build, "ClusterRoleBinding")


@pytest.mark.parametrize("build", BUILDS)
def test_probes_ask_a_port_that_is_there(build: str, tmp_path: Path) -> None:
    """Each probe names a port of its container, which is FMQ_HTTP_PORT in fmq's; liveness is the heartbeat only."""
    for workload in workloads(build):
        for container in workload.containers:
            ports = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                if name in container:
                    asked = container[name].get("httpGet") or container[name]["tcpSocket"]
                    assert asked["port"] in ports
    for workload, container in our_containers(build):
        if workload.owner["kind"] not in ("StatefulSet", "Deployment"):
            continue
        settings = load(ServiceSettings, {}, with_file(build, workload, container, tmp_path))
        assert settings.http_host == "0.0.0.0", "the kubelet asks from outside the pod"  # noqa: S104
        for name, path in (("startupProbe", "healthz"), ("livenessProbe", "healthz"), ("readinessProbe", "readyz")):
            asked = container[name]["httpGet"]
            assert asked["path"] == f"/{path}"
            (port,) = [one for one in container["ports"] if one["name"] == asked["port"]]
            assert port["containerPort"] == settings.http_port


@pytest.mark.parametrize("build", BUILDS)
def test_ports_of_a_pod_differ(build: str) -> None:
    """No two containers of a pod, which share its address, listen on one port or name."""
    for workload in workloads(build):
        ports = [port for container in workload.containers for port in container.get("ports", [])]
        for field in ("name", "containerPort"):
            values = [port[field] for port in ports]
            assert len(values) == len(set(values))


@pytest.mark.parametrize("build", BUILDS)
def test_services_lead_to_ports(build: str) -> None:
    """Each Service selects pods of one workload, and of those only, and its target ports are theirs."""
    for service in of_kind(build, "Service"):
        selector = service["spec"]["selector"].items()
        pods = {name: value for name, value in selector if name != "apps.kubernetes.io/pod-index"}
        (workload,) = [one for one in workloads(build) if pods.items() <= one.labels.items()]
        if workload.owner["kind"] == "StatefulSet" and len(pods) == len(
            selector
        ):  # a Service of one pod is not the one that names them
            assert workload.owner["spec"]["serviceName"] == service["metadata"]["name"]
        names = {port["name"] for container in workload.containers for port in container.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


@pytest.mark.parametrize("build", BUILDS)
def test_stateful_sets_select_their_own_pods(build: str) -> None:
    """Each StatefulSet selects its template's pods, and neither it nor a budget takes those of a leaving Job."""
    selectors = [
        *((one["metadata"]["name"], one["spec"]["selector"]["matchLabels"]) for one in of_kind(build, "StatefulSet")),
        *(
            (one["metadata"]["name"], one["spec"]["selector"]["matchLabels"])
            for one in of_kind(build, "PodDisruptionBudget")
        ),
    ]
    if build in ON_VOLUME:
        for name, labels in selectors:
            (workload,) = [one for one in workloads(build) if labels.items() <= one.labels.items()]
            assert workload.name == f"StatefulSet/{name}"


@pytest.mark.parametrize("build", BUILDS)
def test_there_is_time_to_end(build: str, tmp_path: Path) -> None:
    """A handler call may end within the grace period, and Kubernetes kills only well after that."""
    for workload, container in our_containers(build):
        settings = load(ProcessorSettings, {}, with_file(build, workload, container, tmp_path))
        grace = settings.grace_seconds
        assert grace >= settings.handler_timeout
        assert workload.spec["terminationGracePeriodSeconds"] >= grace + USUAL_MARGIN


@pytest.mark.parametrize("build", BUILDS)
def test_images_are_pinned(build: str) -> None:
    """Each image has a version that is no moving tag, the same one wherever it is used."""
    versions: dict[str, set[str]] = {}
    for workload in workloads(build):
        for container in workload.containers:
            match = re.fullmatch(r"(?P<name>[a-z/-]+):(?P<version>\d+\.\d+\.\d+)", container["image"])
            assert match, container["image"]
            versions.setdefault(match["name"], set()).add(match["version"])
    assert all(len(found) == 1 for found in versions.values())
    assert versions["fmq-listener"] == versions["fmq-processor"]


@pytest.mark.parametrize("build", BUILDS)
def test_memory_is_bounded(build: str) -> None:
    """Containers request CPU and memory and have a limit of memory but none of CPU; every emptyDir has a size."""
    for workload in workloads(build):
        for container in workload.containers:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert set(container["resources"]["limits"]) == {"memory"}
        for volume in workload.volumes.values():
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]
        for container in workload.containers:
            is_service = workload.is_ours and container["name"] in SERVICES
            assert not is_service or "emptyDir" in workload.mounts(container)["/tmp"]  # noqa: S108


@pytest.mark.parametrize("build", BUILDS)
def test_secrets_are_files_of_those_who_need_them(build: str) -> None:
    """No secret is in an environment. The processor, which runs the user's code, sees none."""
    for workload in workloads(build):
        assert not [one for one in _references(workload) if one[0] == "Secret" and one not in _secret_volumes(workload)]
    for workload, container in our_containers(build):
        seen = [volume for volume in workload.mounts(container).values() if "secret" in volume]
        names = {volume["secret"]["secretName"] for volume in seen}
        assert bool(names) == (container["name"] != "processor")
        assert container["name"] != "web" or len(names) == 2, "its users, and the broker's password"
        for volume in seen:
            assert volume["secret"]["defaultMode"] & 0o007 == 0, "nobody else reads it"
            assert volume["secret"]["defaultMode"] & 0o040, "the group, which is fsGroup, does"


def _secret_volumes(workload: Workload) -> set[tuple[str, str, str]]:
    secrets: list[dict[str, Any]] = [one["secret"] for one in workload.volumes.values() if "secret" in one]
    return {("Secret", one["secretName"], item["key"]) for one in secrets for item in one.get("items") or [{"key": ""}]}


@pytest.mark.parametrize("build", BUILDS)
def test_pods_spread_and_drain(build: str) -> None:
    """Pods that take or handle messages spread over hosts and zones where they can, and a node can always be drained of one."""
    for workload in workloads(build):
        works = workload.is_ours and (workload.has("listener") or workload.has("processor"))
        if works and workload.owner["kind"] in ("StatefulSet", "Deployment"):
            constraints = workload.spec["topologySpreadConstraints"]
            keys = {one["topologyKey"] for one in constraints}
            assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
            for one in constraints:
                selector = one["labelSelector"]
                assert selector.get("matchLabels", {}).items() <= workload.labels.items()
                for rule in selector.get("matchExpressions", []):
                    assert workload.labels[rule["key"]] in rule["values"]
    for budget in of_kind(build, "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("build", BUILDS)
def test_objects_are_labelled_and_in_one_namespace(build: str) -> None:
    """Everything is in the namespace that the build makes, and says what it belongs to."""
    for one in manifests(build):
        if one["kind"] == "Namespace":
            assert one["metadata"]["name"] == "fmq"
        else:
            assert one["metadata"]["namespace"] == "fmq"
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "fmq"
        if one["kind"] in ("StatefulSet", "Deployment", "CronJob", "Service", "PodDisruptionBudget"):
            assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= set(one["metadata"]["labels"])


def test_changed_settings_roll_the_pods() -> None:
    """ConfigMaps and Secrets that a build makes have the hash of their content in their names."""
    for build in BUILDS:
        for kind in ("ConfigMap", "Secret"):
            for one in of_kind(build, kind):
                assert re.search(r"-[a-z0-9]{10}$", one["metadata"]["name"])


def test_manifests_are_the_same_in_each_overlay() -> None:
    """What the base says of a container holds in every overlay but for what overlays add."""

    def trimmed(build: str) -> list[Manifest]:
        (workload,) = [one for one in workloads(build) if one.name == "StatefulSet/fmq"]
        return [
            {key: value for key, value in one.items() if key not in ("envFrom", "volumeMounts")}
            for one in workload.containers
            if one["name"] != "web"
        ]

    assert all(trimmed(build) == trimmed("base") for build in ON_VOLUME)


def test_the_pod_that_restores_is_like_the_processor() -> None:
    """It has the first pod's claim at the same place, its user, image and restrictions, and no selector takes it."""
    pod = yaml.safe_load((K8S / "restore.yaml").read_text("utf-8"))
    (workload,) = [one for one in workloads("prod") if one.name == "StatefulSet/fmq"]
    mine, its = Workload({"spec": {}}, pod), workload.container("processor")
    (restore,) = mine.containers
    assert (
        mine.mounts(restore)["/data"]["persistentVolumeClaim"] == workload.mounts(its)["/data"]["persistentVolumeClaim"]
    )
    for field in ("image", "securityContext", "imagePullPolicy"):
        assert restore[field] == its[field]
    for field in ("securityContext", "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks"):
        assert mine.spec[field] == workload.spec[field]
    for kind in ("StatefulSet", "PodDisruptionBudget"):
        assert not any(selects(one["spec"]["selector"], mine.labels) for one in of_kind("prod", kind))
    assert not any(one["spec"]["selector"].items() <= mine.labels.items() for one in of_kind("prod", "Service"))
