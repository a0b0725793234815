"""The network and the cluster that the tests share."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cluster.cluster import Cluster
from cluster.network import Host, make_network


@pytest.fixture(scope="session")
def network() -> Sequence[Host]:
    return make_network("abcdef")


@pytest.fixture(scope="session")
def hosts(network: Sequence[Host]) -> Sequence[Host]:
    """For the cluster that the tests manage."""
    return network[:3]


@pytest.fixture(scope="session")
def managed_hosts(network: Sequence[Host]) -> Sequence[Host]:
    """For the one that Patroni manages."""
    return network[3:]


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder that a user without rights may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="fmq-cluster-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def servers(hosts: Sequence[Host], place: Path) -> Iterator[Cluster]:
    with Cluster(hosts, place / "servers") as running:
        yield running


@pytest.fixture
def cluster(servers: Cluster) -> Cluster:
    """All nodes are up and stream."""
    servers.heal()
    return servers
