"""A web page of few routes over a real store, for tests of what is common to all routes."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, cast
from unittest.mock import patch

from prometheus_client import CollectorRegistry
from pydantic import Field
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse

from fmq.errors import QueueError, StoreDamaged, StoreRefused, StoreUnavailable, UnknownQueue
from fmq.service.environment import load
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq_web.access.door import Door
from fmq_web.access.passwords import PasswordHash
from fmq_web.answers.base import Answer
from fmq_web.http.dispatch import make_app
from fmq_web.http.metrics import WebMetrics
from fmq_web.http.peer.caller import Caller, Role
from fmq_web.http.problems import conflict
from fmq_web.http.route import Call, Endpoint, Page, Parameters, Redirect, Shown
from fmq_web.settings import WebSettings
from fmq_web.site import Site
from fmq_web.stores import Stores
from support.clock import FakeClock
from support.web.asking import FORM, Answered, ask, form

if TYPE_CHECKING:
    from fmq_web.live.sampler import Sampler
    from fmq_web.operations.runner import Runner

PASSWORD = "correct horse battery"  # noqa: S105 - of the tests alone
SECRET = "contents-of-a-message"  # noqa: S105 - stands for one


class Echo(Answer):
    """Who called, with what."""

    caller: str
    how: str
    address: str
    given: str


class Given(Parameters):
    """Parameters of each kind."""

    name: str = ""
    limit: int = Field(10, ge=1, le=200)
    ids: tuple[str, ...] = ()


class Needed(Parameters):
    """A body."""

    queue: str = Field(min_length=1)
    ids: tuple[str, ...] = ()


def _echo(call: Call, _store: Store) -> Answer:
    given = f"{call.query.model_dump()} {call.body.model_dump()} {dict(call.path)}"
    return Echo(caller=call.caller.name, how=call.caller.how, address=call.caller.address, given=given)


def _show(call: Call, store: Store) -> Shown:
    return Shown("names.html", {"names": store.names(), "query": call.query.model_dump()})


def _act(call: Call, _store: Store) -> Redirect:
    return Redirect("/names?done=1", f"Done by {call.caller.name}.")


def _fail(call: Call, _store: Store) -> Answer:
    errors: dict[str, Exception] = {
        "unknown": UnknownQueue("The queue q does not exist."),
        "unavailable": StoreUnavailable("The disk is full."),
        "refused": StoreRefused("It is not an fmq database."),
        "damaged": StoreDamaged("It is damaged."),
        "queue": QueueError("Messages are lent."),
        "conflict": conflict("It runs already."),
        "bug": ValueError(SECRET),
    }
    raise errors[call.path["kind"]]


def _fail_page(call: Call, store: Store) -> Shown:
    _fail(call, store)
    raise AssertionError


async def _ticks() -> AsyncIterator[bytes]:
    yield b"event: state\n\n"
    yield b"event: bye\n\n"


async def _endless(sampler: "FakeSampler") -> AsyncIterator[bytes]:
    for number in count():
        sampler.on_tick(number)
        yield b"event: tick\n\n"


def _stream_on(call: Call, _store: Store) -> Response:
    return StreamingResponse(_endless(cast("FakeSampler", call.site.sampler)), media_type="text/event-stream")


def _stream(_call: Call, _store: Store) -> Response:
    return StreamingResponse(_ticks(), media_type="text/event-stream")


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint("GET", "/api/v1/open", Role.ANYONE, "For anyone.", Echo, _echo),
    Endpoint("GET", "/api/v1/echo", Role.READ, "Echo.", Echo, _echo, Given),
    Endpoint("GET", "/api/v1/echo/{id}", Role.READ, "Echo.", Echo, _echo),
    Endpoint("POST", "/api/v1/echo", Role.OPERATE, "Echo.", Echo, _echo, body=Needed),
    Endpoint("POST", "/api/v1/bare", Role.OPERATE, "No body.", Echo, _echo),
    Endpoint("GET", "/api/v1/fail/{kind}", Role.READ, "Fails.", Echo, _fail),
    Endpoint("GET", "/api/v1/stream", Role.READ, "Streams.", None, _stream, media="text/event-stream"),
)
ENDLESS = Endpoint("GET", "/api/v1/endless", Role.READ, "Streams on.", None, _stream_on, media="text/event-stream")


class DoneQuery(Parameters):
    """After an action."""

    done: int | None = None


PAGES: Sequence[Page] = (
    Page("GET", "/names", Role.READ, _show, DoneQuery),
    Page("POST", "/act", Role.OPERATE, _act, body=Needed),
    Page("GET", "/fail/{kind}", Role.READ, _fail_page),
)


def render(shown: Shown, caller: Caller | None, said: str) -> str:
    """A page that shows everything that it is given."""
    return f"<p>{shown.template} {dict(shown.values)} caller={caller.name if caller else None} said={said}</p>"


@dataclass(frozen=True, slots=True)
class File:
    """An asset."""

    content: bytes
    media: str


def find_asset(version: str, name: str) -> File | None:
    """The only one."""
    return File(b"body{}", "text/css") if (version, name) == ("v1", "css/style.css") else None


@dataclass(slots=True)
class FakeSampler:
    """Remembers whose streams it has to cut. ``on_tick`` gets the number of each event of the endless stream."""

    on_tick: Callable[[int], None] = lambda _number: None
    ended: list[str] = field(default_factory=list)

    def end_session(self, key: str) -> None:
        self.ended.append(key)


@dataclass(slots=True)
class TestedPage:
    """The application with its parts."""

    __test__ = False

    app: Starlette
    door: Door
    clock: FakeClock
    registry: CollectorRegistry
    sampler: FakeSampler
    stores: Stores

    def sign_in(self, user: str = "operator", password: str = PASSWORD, **more: str) -> Answered:
        """Send the form."""
        return ask(self.app, "POST", "/sign-in", [FORM], form(user=user, password=password, **more))

    def cookie(self, user: str = "operator", password: str = PASSWORD) -> tuple[str, str]:
        """The Cookie header of somebody who has signed in."""
        answer = self.sign_in(user, password)
        assert answer.status == 303, answer.text
        return "Cookie", (answer.header("set-cookie") or "").partition(";")[0]


def quick_scrypt(password: str, salt: bytes) -> bytes:
    """Takes the place of scrypt where its cost is not the subject."""
    return hashlib.sha256(salt + password.encode("utf-8", "surrogatepass")).digest()


def quick_hash(password: str) -> str:
    """The hash of a password for a users' file. These pages use a hash that costs nothing."""
    return str(PasswordHash(b"salt" * 4, quick_scrypt(password, b"salt" * 4)))


@contextmanager
def page_of(folder: Path, *, store: bool = True, **settings: object) -> Iterator[TestedPage]:
    """An application with these settings, over a store with the queue ``q`` in ``folder``."""
    url, clock = f"sqlite:///{folder}/q.db", FakeClock()
    if store:
        with open_store(url, clock=clock) as made:
            made.declare("q")
    read = load(WebSettings, settings, {})
    stores = Stores(lambda: open_store(url, clock=clock, create=False))
    sampler, registry = FakeSampler(), CollectorRegistry()
    site = Site(read, clock, stores, cast("Runner", None), cast("Sampler", sampler))
    door = Door(read, clock)
    app = make_app(
        site, [*ENDPOINTS, ENDLESS], PAGES, render, door=door, find_asset=find_asset, metrics=WebMetrics(registry)
    )
    try:
        with patch("fmq_web.access.passwords._scrypt", quick_scrypt):
            yield TestedPage(app, door, clock, registry, sampler, stores)
    finally:
        door.close()
        stores.close()
