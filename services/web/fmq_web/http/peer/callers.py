"""Finds out who sent a request."""

import re
from http import HTTPStatus

from starlette.requests import Request

from fmq_web.access.door import Door
from fmq_web.http.peer.caller import Caller, Role
from fmq_web.http.peer.cookies import session_ids
from fmq_web.http.peer.proxies import Peer, Proxies
from fmq_web.http.problems import Problem

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)
_PROXIED_NAME = re.compile(r"[^\x00-\x20\x7f][^\x00-\x1f\x7f]{0,254}")


class Callers:
    """Finds the caller by a token, by a proxy's header or by a session, in this order."""

    def __init__(self, door: Door, proxies: Proxies) -> None:
        self._door = door
        self.proxies = proxies

    def find(self, request: Request, *, seen: bool = True) -> Caller | None:
        """The caller; None if nobody has signed in. Raises Problem for credentials that are given but not valid.

        With ``seen`` the session counts as used now.
        """
        peer = self.proxies.peer(request)
        if request.headers.getlist("authorization"):
            return self._by_token(request, peer)
        if peer.user is not None:
            return self._by_proxy(peer.user, peer)
        for secret in session_ids(request, peer):
            if found := self._door.session(secret, seen=seen):
                session, role = found
                return Caller(session.name, role, "session", peer.address, session.key)
        if self._door.anonymous_reads and not peer.forwarded:
            return Caller("anonymous", Role.READ, "anonymous", peer.address)
        return None

    def _by_token(self, request: Request, peer: Peer) -> Caller:
        match = _BEARER.fullmatch(", ".join(request.headers.getlist("authorization")).strip())
        token = self._door.token(match[1]) if match else None
        if token is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "The token is not valid.",
                headers={"WWW-Authenticate": 'Bearer realm="fmq", error="invalid_token"'},
            )
        return Caller(token.name, token.role, "token", peer.address)

    def _by_proxy(self, user: str, peer: Peer) -> Caller:
        if not _PROXIED_NAME.fullmatch(user):
            raise Problem(HTTPStatus.BAD_REQUEST, "X-Forwarded-User is not a name.")
        return Caller(user, self._door.proxied(user), "proxy", peer.address)
