"""The profiles `postgres` and `cluster`, started by the commands of docs/compose.md."""

import json
import re
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.cookiejar import CookieJar

import pytest

from containers.conftest import StackMaker
from support.containers.engine import ROOT
from support.containers.publisher import Publisher
from support.containers.stack import CLUSTER, ETCD, QUEUE, Stack, seconds
from support.wait import wait_for

_TOPIC = "sensors/load"
_MESSAGES = 6_000
_PAGE_PASSWORD = "correct horse battery staple"  # noqa: S105
_CHECKS = {"interval": "1s", "timeout": "10s", "retries": 60}
_QUICK = {"services": {name: {"healthcheck": _CHECKS} for name in ("postgres", *CLUSTER, *ETCD)}}
_SERVICES = ("listener", "processor", "web")


def _start(stack: Stack, profile: str) -> None:
    """Run the page's command that starts a profile. Later commands are about the same store."""
    page = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
    found = re.search(rf"^(FMQ_QUEUE_URL=(\S+) docker compose --profile {profile} up .*)$", page, re.MULTILINE)
    assert found
    stack.run_line(found[1])
    stack.variables["FMQ_QUEUE_URL"] = found[2]


def _page(stack: Stack) -> str:
    """What the web page shows of the queues to somebody who has signed in."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    address = f"http://127.0.0.1:{stack.web_port}"
    form = urllib.parse.urlencode({"user": "operator", "password": _PAGE_PASSWORD}).encode()
    browser.open(urllib.request.Request(f"{address}/sign-in", form, {"Origin": address}), timeout=10).close()
    with browser.open(f"{address}/api/v1/overview", timeout=10) as answer:
        return str(answer.read().decode())


def _assert_secret(stack: Stack, holder: str, *others: str) -> None:
    """No password is in a variable, a command or a log of these containers. The first one is a server that runs."""
    passwords = [
        stack.only(holder).run("cat", f"/passwords/{name}").stdout for name in ("superuser", "replication", "fmq")
    ]
    assert all(re.fullmatch(r"[0-9a-f]{48}", one) for one in passwords)
    assert len(set(passwords)) == len(passwords)
    for service in (holder, *others):
        container = stack.only(service)
        shown = json.dumps(container.inspect()) + "\n".join(container.output)
        if container.running:
            shown += container.run("sh", "-c", "tr '\\0' '\\n' </proc/1/environ; tr '\\0' ' ' </proc/1/cmdline").stdout
        assert not [one for one in passwords if one in shown], service
    # The services can't read the passwords of the servers, and nobody else can read theirs.
    assert stack.listener.run("stat", "-c", "%u %a", "/data/pgpass").stdout == "10001 600\n"
    assert stack.listener.run("ls", "/passwords", check=False).returncode != 0


def _assert_watched(stack: Stack, count: int) -> None:
    """Metrics and page show what has happened."""
    assert stack.metric("fmq_stored_total") >= count
    assert stack.metric("fmq_processed_total", stack.only("processor"), port=9465) > 0
    (queue,) = [one for one in json.loads(_page(stack))["queues"] if one["name"] == QUEUE]
    assert queue["done"] >= count


@pytest.mark.timeout(300)
def test_a_server_that_is_killed(stack: StackMaker, tell: Callable[[str], None]) -> None:
    """With the profile `postgres`, services work on one server. When it is killed they wait for it, and lose nothing."""
    made = stack(_QUICK, FMQ_HANDLER="ledger:handle", FMQ_BATCH="50", FMQ_WEB_PASSWORD=_PAGE_PASSWORD)
    begun = time.monotonic()
    _start(made, "postgres")
    tell(f"profile postgres, from nothing to all healthy: {seconds(begun):.0f} s")
    with Publisher(made.broker_port, _TOPIC, count=_MESSAGES, rate=2_000) as publisher:
        publisher.wait_until(_MESSAGES // 2)
        made.only("postgres").kill()
        publisher.finish()
    made.wait_for_done(_MESSAGES, deadline=90)
    assert set(made.handled()) == set(map(str, range(_MESSAGES)))
    assert [made.only(name).restarts for name in _SERVICES] == [0, 0, 0]
    _assert_watched(made, _MESSAGES)
    _assert_secret(made, "postgres", *_SERVICES, "postgres-passwords")


@pytest.mark.timeout(400)
def test_a_primary_that_is_killed(stack: StackMaker, tell: Callable[[str], None]) -> None:
    """With the profile `cluster`, a synchronous standby takes the place of a primary that is killed, and nothing is lost.

    Services go on without a restart; the former primary becomes a standby when it is started again.
    """
    made = stack(_QUICK, FMQ_HANDLER="ledger:handle", FMQ_BATCH="50", FMQ_WEB_PASSWORD=_PAGE_PASSWORD)
    begun = time.monotonic()
    _start(made, "cluster")
    tell(f"profile cluster, from nothing to all healthy: {seconds(begun):.0f} s")
    _await_members(made, CLUSTER[0])
    [primary] = [name for name, role in _roles(made, CLUSTER[0]).items() if role == "Leader"]
    others = [name for name in CLUSTER if name != primary]
    with Publisher(made.broker_port, _TOPIC, count=_MESSAGES, rate=1_000) as publisher:
        publisher.wait_until(_MESSAGES // 2)
        made.engine.docker("kill", made.only(primary).id)
        killed = time.monotonic()
        stored = made.metric("fmq_stored_total")
        wait_for(lambda: made.metric("fmq_stored_total") > stored + 100, 90, what="intake to go on")
        tell(f"primary killed: intake goes on after {seconds(killed):.0f} s")
        publisher.finish()
    made.wait_for_done(_MESSAGES, deadline=90)
    handled = Counter(made.handled())
    assert handled.keys() == set(map(str, range(_MESSAGES)))
    assert [made.only(name).restarts for name in _SERVICES] == [0, 0, 0]
    assert "Leader" in {_roles(made, others[0])[name] for name in others}
    _assert_watched(made, _MESSAGES)
    _assert_secret(made, others[0], primary)
    tell(
        f"cluster: {_MESSAGES:,} messages, lost 0, stored {made.status()['stored']:,}, handled twice or more "
        f"{sum(count > 1 for count in handled.values()):,}"
    )
    made.compose("start", primary)
    _await_members(made, others[0])


def _await_members(stack: Stack, member: str) -> None:
    """Patroni chooses the synchronous standby once one streams; until then commits wait."""
    roles = ["Leader", "Replica", "Sync Standby"]
    wait_for(lambda: sorted(_roles(stack, member).values()) == roles, 60, what="three members")


def _roles(stack: Stack, member: str) -> dict[str, str]:
    """The role of each member that works: Leader, Sync Standby or Replica."""
    found = stack.only(member).run("patronictl", "-c", "/run/patroni", "list", "--format", "json").stdout
    return {one["Member"]: one["Role"] for one in json.loads(found) if one["State"] in ("running", "streaming")}
