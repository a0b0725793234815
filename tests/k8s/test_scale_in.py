"""Scaling in: the Job with which a pod leaves, and the order of things, with the real kubectl."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s.api_server import ApiServer
from k8s.manifests import BUILDS, SCALE_IN, environment, leave_job, manifests, pick, workloads
from k8s.tools import Manifest, program

SHARDED = [build for build in BUILDS if build.startswith("sharded")]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ApiServer]:
    """Three shards, as the overlay has them."""
    with ApiServer(tmp_path) as api:
        stateful_set = copy.deepcopy(pick(manifests("sharded"), "StatefulSet", "fmq"))
        api.add("statefulsets", stateful_set)
        for ordinal in range(3):
            api.add("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"fmq-{ordinal}"}})
            _add_claim(api, f"data-fmq-{ordinal}")
        _add_claim(api, "data-mosquitto-7")
        yield api


def _add_claim(api: ApiServer, name: str) -> None:
    api.add("persistentvolumeclaims", {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}})


def _scale_in(api: ApiServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "KUBECONFIG": str(api.kubeconfig),
        "HOME": str(api.kubeconfig.parent),
        "PATH": f"{Path(program('kubectl')).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(
        [sys.executable, SCALE_IN, *arguments], env=environ, capture_output=True, encoding="utf-8", check=False
    )


def _containers(build: str, ordinal: int) -> tuple[Manifest, Manifest, Manifest]:
    """The Job, its listener and its processor."""
    job = leave_job(pick(manifests(build), "StatefulSet", "fmq"), ordinal)
    spec = job["spec"]["template"]["spec"]
    (listener,), (processor,) = spec["containers"], spec["initContainers"]
    return job, listener, processor


@pytest.mark.parametrize("build", SHARDED)
def test_the_job_takes_the_place_of_its_pod(build: str) -> None:
    """It has the pod's client id, settings and claim; its listener leaves, its processor handles what is queued."""
    (pods, job) = [one for one in workloads(build) if one.is_ours]
    assert (pods.name, job.name) == ("StatefulSet/fmq", "Job/fmq-leave-2")
    for name in ("listener", "processor"):
        mine, its = (
            environment(build, job, job.container(name)),
            environment(build, pods, pods.container(name), ordinal=2),
        )
        assert mine == its
        assert job.container(name)["image"] == pods.container(name)["image"]
    assert job.container("listener")["command"] == ["fmq", "listen", "--leave"]
    assert job.volumes["data"]["persistentVolumeClaim"] == {"claimName": "data-fmq-2"}


def test_the_job_ends_with_its_listener() -> None:
    """The processor is a sidecar, which does not keep the Job alive; a listener that fails is started again."""
    job, listener, processor = _containers("sharded", 1)
    assert processor["restartPolicy"] == "Always"
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert not any("Probe" in key for key in listener)


def test_the_job_has_what_the_cluster_added() -> None:
    """Whatever else a pod of the running StatefulSet has (node, secrets of the registry), the Job's pod has too."""
    stateful_set = copy.deepcopy(pick(manifests("sharded"), "StatefulSet", "fmq"))
    extra = {
        "nodeSelector": {"disk": "fast"},
        "imagePullSecrets": [{"name": "registry"}],
        "tolerations": [{"key": "x"}],
    }
    stateful_set["spec"]["template"]["spec"] |= extra
    assert extra.items() <= leave_job(stateful_set, 1)["spec"]["template"]["spec"].items()


def test_a_client_id_that_is_not_the_pods_is_refused(cluster: ApiServer) -> None:
    """Where the pod's name is not in the listener's environment, nothing is done: which session would it end?"""
    spec = cluster.objects["statefulsets/fmq"]["spec"]["template"]["spec"]
    (listener,) = [one for one in spec["containers"] if one["name"] == "listener"]
    listener["env"] = [{"name": "FMQ_CLIENT_ID", "value": "the-same"}]
    done = _scale_in(cluster, "--to", "1")
    assert done.returncode == 1
    assert "which session" in done.stderr
    assert cluster.writes == []


def test_pods_leave_one_after_the_other(cluster: ApiServer) -> None:
    """Highest first: each pod is gone before its Job begins, and has left before the next one goes. Claims stay."""
    done = _scale_in(cluster, "--to", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.writes == ["scale fmq to 2", "create fmq-leave-2", "scale fmq to 1", "create fmq-leave-1"]
    assert {f"persistentvolumeclaims/data-fmq-{ordinal}" for ordinal in range(3)} <= set(cluster.objects)
    assert "lower the count" in done.stdout


def test_a_scale_in_without_it_is_made_up_for(cluster: ApiServer) -> None:
    """Run with the count that there is, it has those leave whose pods were taken away before, and scales nothing."""
    cluster.scale("fmq", 1)
    cluster.writes.clear()
    done = _scale_in(cluster, "--to", "1")
    assert done.returncode == 0, done.stderr
    assert cluster.writes == ["create fmq-leave-2", "create fmq-leave-1"]


def test_it_can_be_repeated(cluster: ApiServer) -> None:
    """A Job of an earlier scale-in, ended either way, is replaced; one that still runs is waited for."""
    assert _scale_in(cluster, "--to", "2").returncode == 0
    cluster.writes.clear()
    assert _scale_in(cluster, "--to", "2").returncode == 0
    assert cluster.writes == ["delete jobs/fmq-leave-2", "create fmq-leave-2"]
    del cluster.objects["jobs/fmq-leave-2"]["status"]
    cluster.writes.clear()
    assert "is still running after 0 s" in _scale_in(cluster, "--to", "2", "--timeout", "0").stderr
    assert cluster.writes == []


def test_a_failure_stops_it(cluster: ApiServer) -> None:
    """If a pod can't leave, no further pod is removed, and the message says where to look."""
    cluster.job_outcome = "Failed"
    done = _scale_in(cluster, "--to", "1")
    assert done.returncode == 1
    assert "kubectl logs job/fmq-leave-2" in done.stderr
    assert cluster.writes == ["scale fmq to 2", "create fmq-leave-2"]


def test_an_autoscaler_is_paused_first(cluster: ApiServer) -> None:
    """While an autoscaler has the StatefulSet, nothing is done: it would scale out again."""
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "fmq"}
    cluster.add(
        "horizontalpodautoscalers",
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "keda-hpa-fmq"},
            "spec": {"scaleTargetRef": target, "maxReplicas": 6},
        },
    )
    done = _scale_in(cluster, "--to", "1")
    assert done.returncode == 1
    assert "autoscaling.keda.sh/paused" in done.stderr
    assert cluster.writes == []


@pytest.mark.parametrize("to", ["0", "4"])
def test_senseless_counts_are_refused(cluster: ApiServer, to: str) -> None:
    """It neither takes the last pod nor scales out."""
    assert _scale_in(cluster, "--to", to).returncode != 0
    assert cluster.writes == []


def test_no_claims_is_nothing_to_do(cluster: ApiServer) -> None:
    """With the count that there is and no claims above it, nothing happens."""
    done = _scale_in(cluster, "--to", "3")
    assert done.returncode == 0
    assert "nothing to do" in done.stdout
    assert cluster.writes == []
