"""Network policies: nothing but what is needed, and all of that."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from k8s.manifests import BUILDS, Manifest, Workload, environment, of_kind, workloads


def _policies(build: str, workload: Workload, direction: str) -> Iterator[Manifest]:
    """The rules of one direction that hold for a workload's pods."""
    for policy in of_kind(build, "NetworkPolicy"):
        if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= workload.labels.items():
            yield from policy["spec"].get(direction, [])


def _ports(rule: Manifest) -> set[object]:
    return {one["port"] for one in rule["ports"]}


@pytest.mark.parametrize("build", BUILDS)
def test_everything_is_denied_first(build: str) -> None:
    """One policy holds for every pod and allows nothing either way; no rule of another is open to all."""
    (first,) = [one for one in of_kind(build, "NetworkPolicy") if one["metadata"]["name"] == "default-deny"]
    assert first["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in of_kind(build, "NetworkPolicy"):
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                assert rule[peers]
                assert rule["ports"]
                assert direction.capitalize() in policy["spec"]["policyTypes"]
                assert not any(peer.get("ipBlock", {}).get("cidr", "").endswith("/0") for peer in rule[peers])


@pytest.mark.parametrize("build", BUILDS)
def test_names_are_resolved(build: str) -> None:
    """All pods of fmq, a leaving Job's too, reach the cluster's DNS by UDP and TCP."""
    for workload in workloads(build):
        if workload.is_ours:
            ways = [
                {(port["protocol"], port["port"]) for port in rule["ports"]}
                for rule in _policies(build, workload, "egress")
            ]
            assert {("UDP", 53), ("TCP", 53)} in ways


@pytest.mark.parametrize("build", [one for one in BUILDS if one != "base"])
def test_the_broker_is_reached(build: str) -> None:
    """All pods of fmq reach the port in FMQ_BROKER_URL; a broker in the build lets them in."""
    for workload in workloads(build):
        if not workload.is_ours:
            continue
        url = urlsplit(environment(build, workload, workload.container("listener"))["FMQ_BROKER_URL"])
        (way,) = [rule for rule in _policies(build, workload, "egress") if url.port in _ports(rule)]
        peer = way["to"][0]
        if "podSelector" not in peer:
            assert peer["ipBlock"]["cidr"] == "192.0.2.10/32", "an address that is nobody's, to be replaced"
            continue
        (broker,) = [
            one for one in workloads(build) if peer["podSelector"]["matchLabels"].items() <= one.labels.items()
        ]
        assert url.hostname == broker.owner["metadata"]["name"]
        (door,) = _policies(build, broker, "ingress")
        (port,) = [one for one in broker.containers[0]["ports"] if one["name"] in _ports(door)]
        assert port["containerPort"] == url.port
        assert door["from"][0]["podSelector"]["matchLabels"].items() <= workload.labels.items()


@pytest.mark.parametrize("build", BUILDS)
def test_metrics_are_for_labelled_namespaces(build: str) -> None:
    """Both metrics ports are open to namespaces with the label, and nothing else comes in."""
    for workload in workloads(build):
        if workload.name == "StatefulSet/fmq":
            (rule,) = _policies(build, workload, "ingress")
            assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"fmq-metrics": "allowed"}}}]
            assert _ports(rule) == {port["name"] for one in workload.containers for port in one["ports"]}
