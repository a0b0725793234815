"""The API as callers reach it: reading, downloads, actions."""

import base64
import json
import threading

import pytest

from fmq.message import Incoming
from fmq.message_json import letter_fields
from fmq.store.selection import Selection, State
from fmq_web.api.endpoints import ENDPOINTS
from fmq_web.http.peer.caller import Role
from support.wait import wait_for
from support.web.api import Api
from support.web.filled import EMPTY, QUEUE


class TestReading:
    def test_overview(self, api: Api) -> None:
        answer = api.get("overview")
        assert answer.status == 200
        assert answer.json["summary"] == "1 of 2 queues needs you: sensors/+/temp has 3 dead letters."
        assert [one["name"] for one in answer.json["queues"]] == [QUEUE, EMPTY]

    def test_a_queue_is_a_parameter(self, api: Api) -> None:
        """Names with any character reach the API."""
        name = "a/../\u202e?&#%2e/<b>/ü"
        api.filled.store.declare(name)
        assert api.get("queue", name=name).json["counts"]["name"] == name
        assert api.get("queue", name="nowhere").status == 404
        assert api.get("queue").status == 422
        assert api.get("queue", name=QUEUE, more=1).status == 422

    @pytest.mark.parametrize("hours", [1, 6, 24])
    def test_history(self, api: Api, hours: int) -> None:
        assert api.get("history", queue=QUEUE, hours=hours).json == {"queue": QUEUE, "hours": hours, "points": []}

    def test_history_of_other_hours(self, api: Api) -> None:
        assert api.get("history", queue=QUEUE, hours=2).status == 422

    def test_messages(self, api: Api) -> None:
        """By state, topic, reason, group and time; step by step."""
        ids = api.filled.ids

        def found(**query: object) -> list[str]:
            return [one["id"] for one in api.get("messages", queue=QUEUE, **query).json["messages"]]

        assert len(found()) == 8
        assert found(state="delayed") == [str(ids["delayed"]), str(ids["retry"])]
        assert found(topic="sensors/new/#") == [str(ids["new"])]
        assert found(text="claimed") == [str(ids["claimed"])]
        assert found(state="dead", reason="NO ROUTE") == [str(ids["dead2"]), str(ids["dead1"])]
        group = api.get("dead/groups", queue=QUEUE).json["groups"][1]["fingerprint"]
        assert found(state="dead", fingerprint=group) == [str(ids["dead3"])]
        assert found(since=api.filled.clock.wall() - 2.5) == [str(ids["new"])]
        first = api.get("messages", queue=QUEUE, limit=3).json
        assert found(limit=3, before=first["before"]) == found()[3:6]
        assert api.get("messages", queue=QUEUE, state="dead", before=first["before"]).status == 422

    @pytest.mark.parametrize(
        "wrong",
        [
            {"limit": 201},
            {"limit": 0},
            {"state": "x"},
            {"topic": "a#"},
            {"since": "nan"},
            {"since": -1},
            {"text": "a" * 1_001},
        ],
    )
    def test_limits(self, api: Api, wrong: dict[str, object]) -> None:
        assert api.get("messages", queue=QUEUE, **wrong).status == 422

    def test_message(self, api: Api) -> None:
        number = api.filled.ids["dead1"]
        answer = api.get(f"messages/{number}", queue=QUEUE)
        assert answer.json["head"]["id"] == str(number)
        assert [one["what"] for one in answer.json["life"]] == ["received", "tried", "dead"]
        assert api.get("messages/999", queue=QUEUE).status == 404
        assert api.get("messages/x", queue=QUEUE).status == 404

    def test_payload(self, api: Api) -> None:
        path = f"messages/{api.filled.ids['done']}/payload"
        assert api.get(path, queue=QUEUE).json["text"] == '{\n  "from": "done"\n}'
        assert api.get(path, queue=QUEUE, offset=2, length=4).json["text"] == "from"
        assert api.get(path, queue=QUEUE, length=65_537).status == 422

    def test_workers_and_activity(self, api: Api) -> None:
        assert [one["kind"] for one in api.get("workers").json["services"]] == ["listener", "processor"]
        api.post("queue/pause", {"queue": QUEUE})
        [action] = api.get("activity").json["actions"]
        assert (action["actor"], action["kind"]) == ("operate-token", "pause")


class TestDownloads:
    @pytest.mark.parametrize("size", [0, 1, 65_536, 200_000])
    def test_a_payload(self, api: Api, size: int) -> None:
        """Byte by byte, as a file that no browser shows or runs, under a name that nobody else has chosen."""
        payload = bytes(range(256)) * (size // 256) + b"<" * (size % 256)
        api.filled.store.put([Incoming(EMPTY, '"; filename="x.html', payload, api.filled.clock.wall())])
        [number] = api.filled.backend.ids(EMPTY)
        answer = api.get(f"messages/{number}/payload/download", queue=EMPTY)
        assert answer.body == payload
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-length"] == str(len(payload))
        assert answer.headers["content-disposition"] == 'attachment; filename="payload.bin"'
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_dead_letters(self, api: Api) -> None:
        """A line each with all that a dead letter has, in the shape of ``fmq dead list --json``; those that are selected."""
        store = api.filled.store
        answer = api.get("dead/export", queue=QUEUE)
        lines = [json.loads(line) for line in answer.body.splitlines()]
        assert lines == [json.loads(json.dumps(letter_fields(one))) for one in store.dead_letters(QUEUE)]
        assert answer.headers["content-disposition"] == 'attachment; filename="dead-letters.jsonl"'
        assert api.get("dead/export", queue=QUEUE, reason="another").body.count(b"\n") == 1
        assert api.get("dead/export", queue=EMPTY).body == b""
        assert api.get("dead/export", queue="nowhere").status == 404

    def test_many_dead_letters(self, api: Api) -> None:
        """More than one step, large ones among them: each comes once."""
        now = api.filled.clock.wall()
        large = b"\xff" * 700_000
        put = [Incoming(EMPTY, "t", large if n % 30 == 0 else b"x", now, reason="r") for n in range(301)]
        api.filled.store.put(put)
        api.filled.clock.advance(1)
        api.filled.store.put([Incoming(EMPTY, "t", b"of now", api.filled.clock.wall(), reason="r")])
        lines = [json.loads(line) for line in api.get("dead/export", queue=EMPTY).body.splitlines()]
        assert [one["id"] for one in lines] == sorted(api.filled.backend.ids(EMPTY))[:-1], (
            "one that dies now comes later"
        )
        assert sum(one["payload"] is None and base64.b64decode(one["payload_base64"]) == large for one in lines) == 11


class TestActions:
    def test_pause_and_resume(self, api: Api) -> None:
        """The first pause stands; each action is in the audit with the caller's name."""
        assert api.post("queue/pause", {"queue": QUEUE, "reason": "relief"}).json == {"changed": 1}
        assert api.post("queue/pause", {"queue": QUEUE, "reason": "other"}).status == 409
        assert api.get("queue", name=QUEUE).json["counts"]["paused"]["reason"] == "relief"
        assert api.post("queue/resume", {"queue": QUEUE}).json == {"changed": 1}
        assert api.post("queue/resume", {"queue": QUEUE}).status == 409
        assert api.post("queue/pause", {"queue": "nowhere"}).status == 404
        rows = api.filled.store.actions()
        assert [(one.actor, one.kind, one.queue, one.selection) for one in rows] == [
            ("operate-token", "resume", QUEUE, ""),
            ("operate-token", "pause", QUEUE, "relief"),
        ]
        assert all(one.ended_at is not None for one in rows)

    def test_changes_have_threads_of_their_own(self, api: Api) -> None:
        """Those that read are busy here; in life it is changes that wait, for another writer of the store."""
        free = threading.Event()
        try:
            reading = [api.site.stores.submit(lambda _store: free.wait(10)) for _ in range(8)]
            assert api.post("queue/pause", {"queue": QUEUE}).status == 200
            assert api.post("operations/dry-run", {"queue": QUEUE, "kind": "purge"}).status == 200
            assert not any(one.done() for one in reading)
        finally:
            free.set()

    @pytest.mark.parametrize("name", ["done", "dead1"])
    def test_handle_again(self, api: Api, name: str) -> None:
        """A settled message becomes pending, once; the audit has it."""
        path = f"messages/{api.filled.ids[name]}/requeue"
        assert api.post(path, {"queue": QUEUE}).json == {"changed": 1}
        assert api.get(f"messages/{api.filled.ids[name]}", queue=QUEUE).json["head"]["state"] == "pending"
        assert api.post(path, {"queue": QUEUE}).status == 409
        [row] = api.filled.store.actions()
        assert (row.actor, row.changed) == ("operate-token", 1)

    @pytest.mark.parametrize(("what", "left"), [("requeue", {"pending"}), ("purge", set())])
    def test_picked_messages(self, api: Api, what: str, left: set[str]) -> None:
        """Those that are settled change in one commit, others stay; the audit has one row."""
        ids = [api.filled.ids[name] for name in ("done", "dead1", "claimed", "new")]
        body = {"queue": QUEUE, "ids": [str(one) for one in ids]}
        assert api.post(f"messages/{what}", body).json == {"changed": 2}
        found = [api.get(f"messages/{one}", queue=QUEUE) for one in ids[:2]]
        assert {one.json["head"]["state"] for one in found if one.status == 200} == left
        assert [one.changed for one in api.filled.store.actions()] == [2]
        assert api.post(f"messages/{what}", body).json == {"changed": 0}

    @pytest.mark.parametrize("ids", [[], ["x"], ["1"] * 201, ["-1"]])
    def test_picked_by_wrong_ids(self, api: Api, ids: list[str]) -> None:
        """From 1 to 200, and each a number."""
        assert api.post("messages/purge", {"queue": QUEUE, "ids": ids}).status == 422

    def test_without_a_broker_nothing_is_published(self, api: Api) -> None:
        """The problem says which setting is missing; a message that is not there is not looked for."""
        answer = api.post(f"messages/{api.filled.ids['done']}/publish", {"queue": QUEUE})
        assert answer.status == 409
        assert "FMQ_BROKER_URL" in answer.json["detail"]
        assert not api.filled.store.actions()

    def test_an_operation(self, api: Api) -> None:
        """A dry run counts and changes nothing; its token starts exactly that, once."""
        body = {"kind": "requeue", "queue": QUEUE, "selection": {"reason": "no route"}}
        dry = api.post("operations/dry-run", body).json
        assert dry["count"] == 2
        assert api.filled.store.stats(QUEUE).dead == 3
        started = api.post("operations", {"token": dry["token"], "rate": 1_000}).json
        wait_for(lambda: api.get(f"operations/{started['id']}").json["state"] == "done")
        assert api.filled.store.stats(QUEUE).dead == 1
        assert api.post("operations", {"token": dry["token"]}).status == 404
        assert api.post(f"operations/{started['id']}/cancel").status == 409
        assert [one["id"] for one in api.get("operations").json["operations"]] == [started["id"]]
        assert api.get("operations/nothing").status == 404

    def test_an_operation_takes_the_state_of_its_kind(self, api: Api) -> None:
        for kind, count in (("requeue", 3), ("purge", 3), ("handle-again", 1)):
            assert api.post("operations/dry-run", {"kind": kind, "queue": QUEUE}).json["count"] == count


class TestHidden:
    """With FMQ_WEB_SHOW_PAYLOADS=false nothing of what messages contain leaves the server."""

    @pytest.fixture
    def show_payloads(self) -> bool:
        return False

    def test_contents(self, api: Api) -> None:
        number = api.filled.ids["dead1"]
        for path, query in (
            (f"messages/{number}/payload", {}),
            (f"messages/{number}/payload/download", {}),
            ("dead/export", {}),
            ("messages", {"text": "from"}),
        ):
            assert api.get(path, queue=QUEUE, **query).status == 403, path
        for path in ("messages", f"messages/{number}"):
            answer = api.get(path, queue=QUEUE)
            assert answer.status == 200
            assert b"from" not in answer.body
        assert b"no route" in api.get(f"messages/{number}", queue=QUEUE).body


class TestRoles:
    @pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
    def test_who_may(self, api: Api, endpoint: object) -> None:
        """Nobody sees anything without signing in; the role read changes nothing."""
        method, path, role = endpoint.method, endpoint.path, endpoint.role  # type: ignore[attr-defined]
        assert role is (Role.READ if method == "GET" else Role.OPERATE)
        path = path.removeprefix("/api/v1/").format(id=1)
        api.headers = {"Authorization": "Bearer fmq_nobody"}
        assert api.ask(method, path).status == 401
        if method == "POST":
            api.headers = {"Authorization": "Bearer fmq_read"}
            assert api.ask(method, path, body={"queue": QUEUE}).status == 403


def test_a_message_is_found_by_its_id_alone(api: Api) -> None:
    """Ids are text in answers: a JavaScript number would not hold them all."""
    [head] = api.get("messages", queue=QUEUE, limit=1).json["messages"]
    assert isinstance(head["id"], str)
    which = Selection(State.ANY)
    assert head["id"] == str(api.filled.store.heads(QUEUE, which, limit=1).heads[0].id)
