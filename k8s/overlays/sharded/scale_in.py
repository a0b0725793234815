#!/usr/bin/env python3
"""Scale the sharded fmq in without leaving messages behind. Needs Python 3.10 or later, kubectl, and nothing else.

For each pod that goes, highest number first:

1. The StatefulSet is scaled down to it, and the pod ends. Its claim stays, and so does its session at the broker, to
   which the broker still deals a share of the messages.
2. A Job takes over claim and client id. Its listener leaves (`fmq listen --leave`: take what the session holds,
   unsubscribe, end the session, wait until the queue is empty) while its processor handles what is queued.

Claims are never deleted: dead letters are in them. Whatever fails can be repeated, and a scale-in that was done without
this script is made up for by running it afterwards with the present count: it looks at claims, not at pods.
"""
# ruff: noqa: S603, T201 - a program of its own, which calls kubectl and talks to people

import argparse
import copy
import json
import re
import subprocess
import sys
import time
from typing import Any

_POLL_SECONDS = 2.0


class Failed(Exception):
    """Something that the user has to see to."""


class Kubectl:
    """kubectl, in one namespace."""

    def __init__(self, namespace: str, context: str | None) -> None:
        self._command = ["kubectl", "--namespace", namespace, *(["--context", context] if context else [])]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it and return what it prints."""
        done = subprocess.run(
            [*self._command, *arguments], input=stdin, stdout=subprocess.PIPE, encoding="utf-8", check=False
        )
        if done.returncode:
            raise Failed(f"kubectl {' '.join(arguments)} failed (see above)")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """What `kubectl get` tells of one object, or of a list of them."""
        found: dict[str, Any] = json.loads(self.run("get", *arguments, "--output", "json"))
        return found


def leave_job(stateful_set: dict[str, Any], ordinal: int) -> dict[str, Any]:
    """The Job that takes the place of pod ``ordinal`` and leaves. Made from the StatefulSet, so that it can't differ."""
    name = stateful_set["metadata"]["name"]
    claim = stateful_set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    pod = copy.deepcopy(stateful_set["spec"]["template"])
    spec = pod["spec"]
    containers = {one["name"]: one for one in spec["containers"]}
    listener, processor = containers["listener"], containers["processor"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe", "ports"):
        listener.pop(probe, None)
    listener["command"] = ["fmq", "listen", "--leave"]
    listener.pop("args", None)
    # The client id is made of the pod's name: the session to end is the pod's, not the Job's.
    named = [one for one in listener.get("env", []) if _field(one) == "metadata.name"]
    if not named:
        raise Failed(f"the client id of {name}'s listener is not made of the pod's name: which session is its own?")
    for variable in named:
        del variable["valueFrom"]
        variable["value"] = f"{name}-{ordinal}"
    processor["restartPolicy"] = "Always"  # a sidecar: it ends when the listener has left
    spec["initContainers"] = [*spec.get("initContainers", []), processor]
    spec["containers"] = [listener]
    spec["restartPolicy"] = "OnFailure"
    spec.pop("topologySpreadConstraints", None)
    claim_volume = {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}-{ordinal}"}}
    spec["volumes"] = [*spec.get("volumes", []), claim_volume]
    # Of fmq, as the network policies want it, but not of the StatefulSet, its Service and its budget.
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
            # The broker may be away for a while; giving up is for people.
            "backoffLimit": 1000,
            "ttlSecondsAfterFinished": 86400,
            "template": pod,
        },
    }


def _field(variable: dict[str, Any]) -> str:
    """The field of the pod that a variable is taken from, if it is."""
    return str(variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", ""))


def refuse_autoscaler(kubectl: Kubectl, name: str) -> None:
    """An autoscaler would undo each step."""
    for one in kubectl.get("horizontalpodautoscaler")["items"]:
        target = one["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == ("StatefulSet", name):
            raise Failed(
                f"the autoscaler {one['metadata']['name']} would scale {name} out again. Pause KEDA first:\n"
                f"  kubectl annotate scaledobject {name} autoscaling.keda.sh/paused=true\n"
                "and take the annotation away once minReplicaCount is lowered"
            )


def ordinals_to_leave(kubectl: Kubectl, stateful_set: dict[str, Any], to: int) -> list[int]:
    """The numbers of all pods from ``to`` on that have a claim, highest first."""
    claim = stateful_set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    pattern = re.compile(rf"{re.escape(claim)}-{re.escape(stateful_set['metadata']['name'])}-(\d+)")
    names = [one["metadata"]["name"] for one in kubectl.get("persistentvolumeclaim")["items"]]
    found = sorted((int(match[1]) for match in map(pattern.fullmatch, names) if match), reverse=True)
    return [ordinal for ordinal in found if ordinal >= to]


def scale_in(kubectl: Kubectl, name: str, to: int, timeout: float) -> list[int]:
    """Take all pods from ``to`` on away, and have each leave. Returns their numbers."""
    refuse_autoscaler(kubectl, name)
    stateful_set = kubectl.get("statefulset", name)
    replicas = stateful_set["spec"].get("replicas", 1)
    if to > replicas:
        raise Failed(
            f"{name} has {replicas} pods only: --to can be {replicas} at most (then what was left is made up for)"
        )
    jobs = {one: leave_job(stateful_set, one) for one in ordinals_to_leave(kubectl, stateful_set, to)}
    for ordinal, job in jobs.items():
        if ordinal < replicas:
            print(f"{name}-{ordinal}: ending the pod", flush=True)
            kubectl.run("scale", "statefulset", name, f"--current-replicas={ordinal + 1}", f"--replicas={ordinal}")
            wait_until_gone(kubectl, f"pod/{name}-{ordinal}", timeout)
        leave(kubectl, job, timeout)
        print(f"{name}-{ordinal}: has left; nothing of it waits at the broker or in its queue", flush=True)
    return list(jobs)


def wait_until_gone(kubectl: Kubectl, what: str, timeout: float) -> None:
    """Wait until an object exists no more."""
    end = time.monotonic() + timeout
    while kubectl.run("get", what, "--ignore-not-found", "--output", "name"):
        if time.monotonic() > end:
            raise Failed(f"{what} has not ended within {timeout:g} s")
        time.sleep(_POLL_SECONDS)


def leave(kubectl: Kubectl, job: dict[str, Any], timeout: float) -> None:
    """Run a Job until it is complete; one that runs already is waited for."""
    name = job["metadata"]["name"]
    there = bool(kubectl.run("get", f"job/{name}", "--ignore-not-found", "--output", "name"))
    if there and job_state(kubectl, name):
        kubectl.run("delete", f"job/{name}")  # of an earlier scale-in
        wait_until_gone(kubectl, f"job/{name}", timeout)
        there = False
    if not there:
        kubectl.run("create", "--filename", "-", stdin=json.dumps(job))
    print(f"{name}: leaving. To watch it: kubectl logs --follow job/{name} --all-containers", flush=True)
    end = time.monotonic() + timeout
    while not (state := job_state(kubectl, name)):
        if time.monotonic() > end:
            raise Failed(
                f"the Job {name} has not ended within {timeout:g} s, and goes on. See what keeps it, then run this again:\n"
                f"  kubectl logs job/{name} --all-containers"
            )
        time.sleep(_POLL_SECONDS)
    if state == "Failed":
        raise Failed(f"the Job {name} has failed: see kubectl logs job/{name} --all-containers, then run this again")


def job_state(kubectl: Kubectl, name: str) -> str:
    """Complete, Failed, or nothing while the Job runs."""
    conditions = kubectl.get(f"job/{name}").get("status", {}).get("conditions", [])
    states = [one["type"] for one in conditions if one["status"] == "True" and one["type"] in ("Complete", "Failed")]
    return states[0] if states else ""


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n\n")[0], epilog="See docs/kubernetes.md, 'Scaling in'."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", type=int, metavar="PODS", help="how many pods shall be left (1 or more)")
    what.add_argument(
        "--print-job", type=int, metavar="N", help="only print the Job of pod N, from a StatefulSet on standard input"
    )
    parser.add_argument("--namespace", default="fmq")
    parser.add_argument("--context", help="the cluster, as in your kubeconfig; by default the current one")
    parser.add_argument("--name", default="fmq", help="of the StatefulSet")
    parser.add_argument(
        "--timeout", type=float, default=3600, help="the most seconds for one pod to end, and to leave (default 3600)"
    )
    options = parser.parse_args()
    if options.print_job is None and options.to < 1:
        parser.error("--to is 1 at least")
    try:
        if options.print_job is not None:
            json.dump(leave_job(json.load(sys.stdin), options.print_job), sys.stdout, indent=2)
            return 0
        left = scale_in(Kubectl(options.namespace, options.context), options.name, options.to, options.timeout)
    except Failed as error:
        print(f"scale_in: {error}", file=sys.stderr)
        return 1
    if not left:
        print(f"{options.name} has no claims of pods from number {options.to} on: nothing to do")
        return 0
    print(
        f"\nNow lower the count in your overlay to {options.to}. The claims are kept, with handled messages and dead "
        "letters in them; each is used again when its pod comes back."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
