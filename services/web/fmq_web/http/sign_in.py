"""The sign-in page, and sign-out."""

import asyncio
import logging
import math
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fmq.errors import QueueError
from fmq.store.roles import Store
from fmq_web.access.door import Door
from fmq_web.http.parameters import FORM, read_body, read_query
from fmq_web.http.peer.cookies import session_ids, set_cookie
from fmq_web.http.peer.proxies import Peer
from fmq_web.http.places import local
from fmq_web.http.route import Parameters, Shown
from fmq_web.http.serving import Desk

_log = logging.getLogger(__name__)
TEMPLATE = "sign_in.html"
"""Its values: ``problem``, ``user`` and ``next``, each a text or empty."""


class SignInQuery(Parameters):
    """``next`` is where to go afterwards."""

    next: str = "/"


class SignInForm(SignInQuery):
    """The fields of the form."""

    user: str = ""
    password: str = ""


class SignIn:
    """The handlers of /sign-in and /sign-out."""

    def __init__(self, desk: Desk, door: Door) -> None:
        self._desk = desk
        self._door = door

    async def show(self, request: Request) -> Response:
        """GET /sign-in."""
        query = read_query(request, SignInQuery, is_page=True)
        caller = self._desk.callers.find(request)
        if caller is not None and caller.how != "anonymous":
            return RedirectResponse(local(query.next), HTTPStatus.SEE_OTHER)
        return self._page(HTTPStatus.OK, SignInForm(next=query.next))

    async def sign_in(self, request: Request) -> Response:
        """POST /sign-in."""
        form = await read_body(request, SignInForm, FORM) or SignInForm()
        peer = self._desk.callers.proxies.peer(request)
        wait = self._door.limits.admit(peer.address)
        if wait > 0:
            self._desk.metrics.refused_sign_ins.inc()
            _log.warning("Sign-in from %s refused for %.0f s: too many tries", peer.address, math.ceil(wait))
            text = f"Too many tries. Try again in {math.ceil(wait)} s."
            answer = self._page(HTTPStatus.TOO_MANY_REQUESTS, form, text)
            answer.headers["Retry-After"] = str(math.ceil(wait))
            return answer
        fits = await asyncio.wrap_future(self._door.check(form.user, form.password))
        secret = self._door.start_session(form.user) if fits else None
        if secret is None:
            return self._failed(form, peer)
        self._door.limits.succeeded(peer.address)
        self._end_sessions(request, peer)
        _log.info("%s signed in from %s", form.user, peer.address, extra={"actor": form.user, "address": peer.address})
        await self._audit(form.user, peer.address)
        answer = RedirectResponse(local(form.next), HTTPStatus.SEE_OTHER)
        answer.headers["Set-Cookie"] = set_cookie(request, peer, secret)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """POST /sign-out."""
        await read_body(request, None, FORM)
        peer = self._desk.callers.proxies.peer(request)
        self._end_sessions(request, peer)
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        answer.headers["Set-Cookie"] = set_cookie(request, peer, "")
        return answer

    def _failed(self, form: SignInForm, peer: Peer) -> Response:
        self._desk.metrics.sign_in_failures.inc()
        # People type passwords into the wrong field, so only names that exist are logged.
        name = form.user if self._door.knows(form.user) else "an unknown user"
        _log.warning("Sign-in of %s from %s failed", name, peer.address, extra={"address": peer.address})
        return self._page(HTTPStatus.FORBIDDEN, form, "The user or the password is wrong.")

    def _end_sessions(self, request: Request, peer: Peer) -> None:
        for secret in session_ids(request, peer):
            if found := self._door.session(secret):
                session, _ = found
                self._door.sessions.end(session.key)
                self._desk.site.sampler.end_session(session.key)
                _log.info("%s signed out", session.name, extra={"actor": session.name})

    async def _audit(self, name: str, address: str) -> None:
        def note(store: Store) -> None:
            number = store.begin_action(actor=name, kind="sign-in", selection=f"from {address}")
            store.end_action(number, changed=0)

        try:
            await asyncio.wrap_future(self._desk.site.stores.submit_change(note))
        except QueueError as error:  # the person who signs in may be the one to repair the store
            _log.warning("The sign-in of %s is not in the store's audit: %s", name, error)

    def _page(self, status: HTTPStatus, form: SignInForm, problem: str = "") -> Response:
        values = {"problem": problem, "user": form.user, "next": local(form.next)}
        return HTMLResponse(self._desk.render(Shown(TEMPLATE, values, status), None, ""), status)
