#!/usr/bin/env python3
"""Scale in the sharded overlay without leaving messages behind. Needs only kubectl and Python 3.10 or later.

For each pod to remove, highest number first:

1. Scales the StatefulSet down by one, which stops the pod. Its volume claim stays, and so does its session at the broker,
   which still receives a share of the messages.
2. Runs a Job with the pod's volume claim and client id. Its listener leaves (`fmq listen --leave` stores what the session
   holds, unsubscribes, ends the session and waits until the queue is empty). Its processor handles the queued messages.

Volume claims are never deleted, because they hold dead letters. If a step fails, run the script again. After a scale-in
without this script, run it with the current number of pods: it looks at volume claims, not at pods.
"""
# ruff: noqa: S603, T201 - a stand-alone program that calls kubectl and prints for its user

import argparse
import copy
import json
import re
import subprocess
import sys
import time
from typing import Any

_POLL_SECONDS = 2.0
_NEITHER = ("web", "backup")
"""Containers of a pod that are neither its listener nor a processor."""


class Failed(Exception):
    """A problem that the user has to solve."""


class Kubectl:
    """kubectl, in one namespace."""

    def __init__(self, namespace: str, context: str | None) -> None:
        self._command = ["kubectl", "--namespace", namespace, *(["--context", context] if context else [])]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl. Returns its standard output. Raises Failed if it fails."""
        done = subprocess.run(
            [*self._command, *arguments], input=stdin, stdout=subprocess.PIPE, encoding="utf-8", check=False
        )
        if done.returncode:
            raise Failed(f"kubectl {' '.join(arguments)} failed (see above)")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """One object, or a list of objects, from `kubectl get`."""
        found: dict[str, Any] = json.loads(self.run("get", *arguments, "--output", "json"))
        return found


def leave_job(stateful_set: dict[str, Any], ordinal: int) -> dict[str, Any]:
    """The Job that leaves in place of pod ``ordinal``. Made from the StatefulSet, so that it can't differ from the pod."""
    name = stateful_set["metadata"]["name"]
    claim = stateful_set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    pod = copy.deepcopy(stateful_set["spec"]["template"])
    spec = pod["spec"]
    containers = {one["name"]: one for one in spec["containers"]}
    listener = containers.pop("listener")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe", "ports"):
        listener.pop(probe, None)
    listener["command"] = ["fmq", "listen", "--leave"]
    listener.pop("args", None)
    # The client id is made from the pod's name. The session to end is the pod's, not the Job's.
    named = [one for one in listener.get("env", []) if _field(one) == "metadata.name"]
    if not named:
        raise Failed(
            f"the client id of {name}'s listener is not made from the pod's name, so it is unknown which session to end"
        )
    for variable in named:
        del variable["valueFrom"]
        variable["value"] = f"{name}-{ordinal}"
    processors = [one for name, one in containers.items() if name not in _NEITHER]
    for one in processors:
        one["restartPolicy"] = "Always"  # a sidecar: it stops when the listener has left
    spec["initContainers"] = [*spec.get("initContainers", []), *processors]
    spec["containers"] = [listener]
    spec["restartPolicy"] = "OnFailure"
    spec.pop("topologySpreadConstraints", None)
    claim_volume = {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}-{ordinal}"}}
    spec["volumes"] = [*spec.get("volumes", []), claim_volume]
    # Labels that the network policies select, but not the StatefulSet, its Service and its disruption budget.
    labels = {**pod["metadata"]["labels"], "app.kubernetes.io/component": "leave"}
    pod["metadata"]["labels"] = labels
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name}-leave-{ordinal}",
            "namespace": stateful_set["metadata"]["namespace"],
            "labels": labels,
        },
        "spec": {
            # The broker may be down for a while. Only an operator should give up.
            "backoffLimit": 1000,
            "ttlSecondsAfterFinished": 86400,
            "template": pod,
        },
    }


def _field(variable: dict[str, Any]) -> str:
    """The field of the pod that a variable refers to, or an empty string."""
    return str(variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", ""))


def refuse_autoscaler(kubectl: Kubectl, name: str) -> None:
    """Raise Failed if an autoscaler manages the StatefulSet, since it would undo each step."""
    for one in kubectl.get("horizontalpodautoscaler")["items"]:
        target = one["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == ("StatefulSet", name):
            raise Failed(
                f"the autoscaler {one['metadata']['name']} would scale {name} out again. First pause KEDA:\n"
                f"  kubectl annotate scaledobject {name} autoscaling.keda.sh/paused=true\n"
                "Afterwards lower minReplicaCount and remove the annotation"
            )


def ordinals_to_leave(kubectl: Kubectl, stateful_set: dict[str, Any], to: int) -> list[int]:
    """The numbers of the pods from ``to`` on that have a volume claim, highest first."""
    claim = stateful_set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    pattern = re.compile(rf"{re.escape(claim)}-{re.escape(stateful_set['metadata']['name'])}-(\d+)")
    names = [one["metadata"]["name"] for one in kubectl.get("persistentvolumeclaim")["items"]]
    found = sorted((int(match[1]) for match in map(pattern.fullmatch, names) if match), reverse=True)
    return [ordinal for ordinal in found if ordinal >= to]


def scale_in(kubectl: Kubectl, name: str, to: int, timeout: float) -> list[int]:
    """Remove all pods from number ``to`` on and make each one leave. Returns their numbers."""
    refuse_autoscaler(kubectl, name)
    stateful_set = kubectl.get("statefulset", name)
    replicas = stateful_set["spec"].get("replicas", 1)
    if to > replicas:
        raise Failed(
            f"{name} has only {replicas} pods. Use --to {replicas} or less; --to {replicas} makes pods leave that were removed before"
        )
    jobs = {one: leave_job(stateful_set, one) for one in ordinals_to_leave(kubectl, stateful_set, to)}
    for ordinal, job in jobs.items():
        if ordinal < replicas:
            print(f"{name}-{ordinal}: stopping the pod", flush=True)
            kubectl.run("scale", "statefulset", name, f"--current-replicas={ordinal + 1}", f"--replicas={ordinal}")
            wait_until_gone(kubectl, f"pod/{name}-{ordinal}", timeout)
        leave(kubectl, job, timeout)
        print(f"{name}-{ordinal}: has left; its session and its queue are empty", flush=True)
    return list(jobs)


def wait_until_gone(kubectl: Kubectl, what: str, timeout: float) -> None:
    """Wait until an object no longer exists. Raises Failed after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while kubectl.run("get", what, "--ignore-not-found", "--output", "name"):
        if time.monotonic() > end:
            raise Failed(f"{what} still exists after {timeout:g} s")
        time.sleep(_POLL_SECONDS)


def leave(kubectl: Kubectl, job: dict[str, Any], timeout: float) -> None:
    """Run a Job and wait until it is complete. Waits for a Job that is already running. Raises Failed."""
    name = job["metadata"]["name"]
    there = bool(kubectl.run("get", f"job/{name}", "--ignore-not-found", "--output", "name"))
    if there and job_state(kubectl, name):
        kubectl.run("delete", f"job/{name}")  # left over from an earlier scale-in
        wait_until_gone(kubectl, f"job/{name}", timeout)
        there = False
    if not there:
        kubectl.run("create", "--filename", "-", stdin=json.dumps(job))
    print(f"{name}: leaving. Follow it with: kubectl logs --follow job/{name} --all-containers", flush=True)
    end = time.monotonic() + timeout
    while not (state := job_state(kubectl, name)):
        if time.monotonic() > end:
            raise Failed(
                f"the Job {name} is still running after {timeout:g} s. Find out why, then run this again:\n"
                f"  kubectl logs job/{name} --all-containers"
            )
        time.sleep(_POLL_SECONDS)
    if state == "Failed":
        raise Failed(f"the Job {name} failed. See kubectl logs job/{name} --all-containers, then run this again")


def job_state(kubectl: Kubectl, name: str) -> str:
    """Complete or Failed; empty while the Job runs."""
    conditions = kubectl.get(f"job/{name}").get("status", {}).get("conditions", [])
    states = [one["type"] for one in conditions if one["status"] == "True" and one["type"] in ("Complete", "Failed")]
    return states[0] if states else ""


def main() -> int:
    """Run the program. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n\n")[0], epilog="See docs/kubernetes.md, 'Scaling in'."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", type=int, metavar="PODS", help="number of pods to keep (1 or more)")
    what.add_argument(
        "--print-job",
        type=int,
        metavar="N",
        help="only print the Job of pod N, made from a StatefulSet on standard input",
    )
    parser.add_argument("--namespace", default="fmq", help="namespace of the StatefulSet (default: fmq)")
    parser.add_argument("--context", help="context of your kubeconfig (default: the current one)")
    parser.add_argument("--name", default="fmq", help="name of the StatefulSet (default: fmq)")
    parser.add_argument(
        "--timeout",
        type=float,
        default=3600,
        help="maximum seconds for a pod to stop, and again to leave (default: 3600)",
    )
    options = parser.parse_args()
    if options.print_job is None and options.to < 1:
        parser.error("--to must be 1 or more")
    try:
        if options.print_job is not None:
            json.dump(leave_job(json.load(sys.stdin), options.print_job), sys.stdout, indent=2)
            return 0
        left = scale_in(Kubectl(options.namespace, options.context), options.name, options.to, options.timeout)
    except Failed as error:
        print(f"scale_in: {error}", file=sys.stderr)
        return 1
    if not left:
        print(f"{options.name} has no volume claims for pods from number {options.to} on: nothing to do")
        return 0
    print(
        f"\nNow lower the count in your overlay to {options.to}. The volume claims are kept, with their handled messages and "
        "dead letters. A pod that comes back uses its claim again."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
