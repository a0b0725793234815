"""Two instances in one namespace: each has its own pods, and selects no others."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from k8s.manifests import environment, manifests, of_kind, second, selects, workloads
from k8s.tools import ROOT, Manifest

PAIRS = {
    first: second(first)
    for first in (
        "dev",
        "prod+web",
        "sharded+monitoring+keda+web",
        "postgres+monitoring+keda-processors",
        "postgres+monitoring+web",
    )
}
"""Builds, and the second instance of each, made as docs/kubernetes.md says."""


def _pod_selectors(found: Any, path: str = "") -> Iterator[tuple[str, Manifest]]:  # noqa: ANN401 - any part of a manifest
    """All selectors of pods within a manifest: those of workloads, Services, policies and their peers, budgets, monitors, spreads."""
    if isinstance(found, list):
        for position, one in enumerate(found):
            yield from _pod_selectors(one, f"{path}[{position}]")
    elif isinstance(found, dict):
        for name, one in found.items():
            if name in ("podSelector", "labelSelector") or (name == "selector" and "matchLabels" in one):
                yield f"{path}.{name}", one
            elif name == "selector":
                yield f"{path}.{name}", {"matchLabels": {k: v for k, v in one.items() if "pod-index" not in k}}
            elif name != "namespaceSelector":
                yield from _pod_selectors(one, f"{path}.{name}")


def _is_elsewhere(path: str, one: Manifest) -> bool:
    """Whether a selector is for pods of others: those of a peer in another namespace."""
    peers = re.findall(r"\.(ingress|egress)\[(\d+)\]\.(from|to)\[(\d+)\]", path)
    return any("namespaceSelector" in one["spec"][way][int(rule)][end][int(peer)] for way, rule, end, peer in peers)


@pytest.mark.parametrize("direction", ["first", "second"])
@pytest.mark.parametrize("first", PAIRS)
def test_selectors_are_disjoint(first: str, direction: str) -> None:
    """Each selector of one instance takes pods of that instance, and none of the other."""
    own, other = (first, PAIRS[first]) if direction == "first" else (PAIRS[first], first)
    count = 0
    for one in manifests(own):
        for path, selector in _pod_selectors(one):
            if _is_elsewhere(path, one):
                continue
            count += 1
            where = f"{one['kind']}/{one['metadata']['name']}{path}"
            assert any(selects(selector, pod.labels) for pod in workloads(own)), f"{where} takes no pod"
            taken = [pod.name for pod in workloads(other) if selects(selector, pod.labels)]
            assert not taken, f"{where} takes {taken} of the other instance"
    assert count > 8


@pytest.mark.parametrize("first", PAIRS)
def test_pods_of_others_stay_the_same(first: str) -> None:
    """DNS and the database are selected as in the first instance: they have no label of an instance."""

    def elsewhere(build: str) -> list[str]:
        found = ((path, one, selector) for one in manifests(build) for path, selector in _pod_selectors(one))
        return sorted(str(selector) for path, one, selector in found if _is_elsewhere(path, one))

    assert elsewhere(first) == elsewhere(PAIRS[first])
    assert "kube-dns" in str(elsewhere(first))


@pytest.mark.parametrize("first", PAIRS)
def test_both_can_be_applied(first: str) -> None:
    """No object of the second has the name of one of the first; they share the namespace alone."""
    mine, its = (
        {(one["kind"], one["metadata"]["name"]) for one in manifests(build) if one["kind"] != "Namespace"}
        for build in (first, PAIRS[first])
    )
    assert not mine & its


@pytest.mark.parametrize("first", PAIRS)
def test_sessions_and_claims_differ(first: str) -> None:
    """Client ids at the broker and claims are not those of the other instance."""

    def ids(build: str) -> set[str]:
        listeners = [one for one in workloads(build) if one.is_ours and one.has("listener") and "Job" not in one.name]
        return {environment(build, one, one.container("listener"))["FMQ_CLIENT_ID"] for one in listeners}

    def claims(build: str) -> set[str]:
        volumes = [volume for one in workloads(build) for volume in one.volumes.values()]
        return {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}

    assert ids(first)
    assert not ids(first) & ids(PAIRS[first])
    assert not claims(first) & claims(PAIRS[first])


@pytest.mark.parametrize("first", [one for one in PAIRS if "keda" in one])
def test_autoscaling_is_that_of_the_instance(first: str) -> None:
    """The ScaledObject of the second instance scales the second one's workload."""
    (scaled,) = of_kind(PAIRS[first], "ScaledObject")
    target = scaled["spec"]["scaleTargetRef"]
    assert target["name"].endswith("-second")
    assert target["name"] in {one["metadata"]["name"] for one in of_kind(PAIRS[first], target["kind"])}


def test_every_workload_selector_names_its_instance() -> None:
    """The check above can fail: without the label, the selectors of both instances take each other's pods."""
    (workload,) = [one for one in workloads("prod+web") if one.owner["kind"] == "StatefulSet"]
    selector = workload.owner["spec"]["selector"]["matchLabels"]
    without = {name: value for name, value in selector.items() if name != "app.kubernetes.io/instance"}
    (other,) = [one for one in workloads(PAIRS["prod+web"]) if one.owner["kind"] == "StatefulSet"]
    assert not selects({"matchLabels": selector}, other.labels)
    assert selects({"matchLabels": without}, other.labels)


def test_the_page_shows_what_is_tested() -> None:
    """The overlay of a second instance stands in docs/kubernetes.md."""
    assert "# k8s/overlays/second/kustomization.yaml" in (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
