"""Network policies: nothing but what is needed, and all of that."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import yaml

from k8s.manifests import BUILDS, DATABASE, ON_SERVER, Workload, environment, of_kind, rendered, selects, workloads
from k8s.tools import Manifest


def _selecting(build: str, workload: Workload) -> Iterator[Manifest]:
    """The policies that hold for a workload's pods."""
    return (one for one in of_kind(build, "NetworkPolicy") if selects(one["spec"]["podSelector"], workload.labels))


def _policies(build: str, workload: Workload, direction: str) -> Iterator[Manifest]:
    """The rules of one direction that hold for a workload's pods."""
    for policy in _selecting(build, workload):
        yield from policy["spec"].get(direction, [])


def _ports(rule: Manifest) -> set[object]:
    return {one["port"] for one in rule["ports"]}


@pytest.mark.parametrize("build", BUILDS)
def test_everything_is_denied_first(build: str) -> None:
    """Policies deny both ways for every pod of the build, and select no other pods; no rule is open to all."""
    for workload in workloads(build):
        for direction in ("Ingress", "Egress"):
            assert any(direction in one["spec"]["policyTypes"] for one in _selecting(build, workload))
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
    """All pods with a listener reach the port in FMQ_BROKER_URL; a broker in the build lets them in."""
    for workload in workloads(build):
        if not workload.is_ours or not workload.has("listener"):
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


@pytest.mark.parametrize("build", ON_SERVER)
def test_the_database_is_reached_by_those_who_use_it(build: str) -> None:
    """All pods of fmq reach the database, which lets in pods of fmq, and the broker is for all but the processors."""
    (door,) = [one for one in yaml.safe_load_all(rendered(DATABASE)) if one["kind"] == "NetworkPolicy"]
    (peer,) = door["spec"]["ingress"][0]["from"]
    for workload in workloads(build):
        (way,) = [rule for rule in _policies(build, workload, "egress") if 5432 in _ports(rule)]
        assert way["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "fmq-database"}
        assert selects(way["to"][0]["podSelector"], door["spec"]["podSelector"]["matchLabels"])
        assert peer["podSelector"]["matchLabels"].items() <= workload.labels.items()
        brokers = [rule for rule in _policies(build, workload, "egress") if 8883 in _ports(rule)]
        assert bool(brokers) != workload.has("processor")
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "fmq"}


@pytest.mark.parametrize("build", BUILDS)
def test_metrics_are_for_labelled_namespaces(build: str) -> None:
    """All metrics ports are open to namespaces with the label, the page to those with its own, and nothing else comes in."""
    for workload in workloads(build):
        if workload.is_ours and workload.owner["kind"] in ("StatefulSet", "Deployment"):
            opened: dict[str, set[object]] = {}
            for rule in _policies(build, workload, "ingress"):
                ((label, allowed),) = rule["from"][0]["namespaceSelector"]["matchLabels"].items()
                assert (len(rule["from"]), rule["from"][0].keys(), allowed) == (1, {"namespaceSelector"}, "allowed")
                opened.setdefault(label, set()).update(_ports(rule))
            ports = {port["name"] for one in workload.containers for port in one.get("ports", [])}
            assert opened.pop("fmq-web", set()) == ports & {"web"}
            assert opened.keys() == {"fmq-metrics"}
            assert opened["fmq-metrics"] >= ports - {"web"}
            assert opened["fmq-metrics"] <= {"listener-http", "processor-http", "web-http"}
