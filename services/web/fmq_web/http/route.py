"""Routes as values: from one table come the dispatch, the check of the role, OpenAPI, and the tests' matrix.

The role has no default, so that no route can be open by accident.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from fmq.store.roles import Store
from fmq_web.answers.base import Answer
from fmq_web.http.peer.caller import Caller, Role

if TYPE_CHECKING:
    from fmq_web.site import Site


class Parameters(BaseModel):
    """The base of a route's query and body. Unknown parameters are refused with 422."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoParameters(Parameters):
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: the caller has the route's role, query and body are valid."""

    caller: Caller
    site: "Site"
    path: Mapping[str, str] = field(default_factory=dict)
    """Path parameters by name."""
    query: Parameters = field(default_factory=NoParameters)
    body: Parameters = field(default_factory=NoParameters)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of the API. ``handle`` runs in a worker thread with that thread's store.

    It returns an ``answer``, or a Response if ``answer`` is None (then ``media`` is its content type). It raises Problem
    (fmq_web.http.problems) for what the caller did wrong.
    """

    method: Literal["GET", "POST"]
    path: str
    role: Role
    about: str
    """One line for OpenAPI and docs/web-api.md."""
    answer: type[Answer] | None
    handle: Callable[[Call, Store], Answer | Response]
    query: type[Parameters] = NoParameters
    body: type[Parameters] | None = None
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Shown:
    """A template with its values."""

    template: str
    values: Mapping[str, object]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """See Other (303), after a form. ``said`` is shown once on the next page."""

    path: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page or the target of a form. ``handle`` runs in a worker thread with that thread's store.

    ``body`` of a POST is an urlencoded form. A GET has none.
    """

    method: Literal["GET", "POST"]
    path: str
    role: Role
    handle: Callable[[Call, Store], Shown | Redirect | Response]
    query: type[Parameters] = NoParameters
    body: type[Parameters] | None = None


@dataclass(frozen=True, slots=True)
class PlainPage:
    """A page that needs no store, and is there when the store can't be read. ``show`` runs in a worker thread."""

    path: str
    role: Role
    show: Callable[[Call], Shown]
    query: type[Parameters] = NoParameters
    method: Literal["GET"] = "GET"
    body: None = None
