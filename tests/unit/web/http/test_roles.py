"""Every route with every caller: the matrix is made from the tables."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from fmq_web.access.tokens import show_digest
from fmq_web.http.peer.caller import Role
from fmq_web.http.route import Endpoint, Page, PlainPage
from support.web.asking import FORM, JSON, Answered, Headers, ask, form
from support.web.tested_page import ENDPOINTS, PAGES, PASSWORD, TestedPage, page_of, quick_hash

ROUTES: list[Endpoint | Page | PlainPage] = [*ENDPOINTS, *PAGES]
CALLERS = {
    "nobody": None,
    "read token": Role.READ,
    "operate token": Role.OPERATE,
    "read session": Role.READ,
    "operate session": Role.OPERATE,
    "read proxy": Role.READ,
    "operate proxy": Role.OPERATE,
}
PROXY = "10.0.0.7"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestedPage]:
    folder = tmp_path_factory.mktemp("page")
    users = folder / "users"
    lines = [
        f"anna:operate:{quick_hash(PASSWORD)}",
        f"ben:read:{quick_hash(PASSWORD)}",
        f"writer:operate:{show_digest('w')}",
        f"reader:read:{show_digest('r')}",
        "oscar:operate:proxy",
    ]
    users.write_text("\n".join(lines))
    with page_of(folder, web_users_file=str(users), web_trusted_proxies=PROXY) as made:
        yield made


@pytest.fixture(scope="module")
def credentials(page: TestedPage) -> dict[str, Headers]:
    return {
        "nobody": [],
        "read token": [("Authorization", "Bearer r")],
        "operate token": [("Authorization", "Bearer w")],
        "read session": [page.cookie("ben")],
        "operate session": [page.cookie("anna")],
        "read proxy": [("X-Forwarded-User", "paula")],
        "operate proxy": [("X-Forwarded-User", "oscar")],
    }


def _send(page: TestedPage, route: Endpoint | Page | PlainPage, headers: Headers, client: str) -> Answered:
    path = route.path.replace("{kind}", "conflict").replace("{id}", "7")
    if route.method == "GET":
        return ask(page.app, "GET", path, headers, client=client)
    is_form = not isinstance(route, Endpoint)
    body = (form(queue="q") if is_form else b'{"queue":"q"}') if route.body else b""
    return ask(page.app, "POST", path, [*headers, FORM if is_form else JSON], body, client=client)


@pytest.mark.parametrize(
    ("route", "who"), list(product(ROUTES, CALLERS)), ids=lambda one: one if isinstance(one, str) else one.path
)
def test_role_by_route(
    page: TestedPage, credentials: dict[str, Headers], route: Endpoint | Page | PlainPage, who: str
) -> None:
    """A caller with the role gets through; others get 403; a caller who has not signed in gets 401, or is led to the sign-in page."""
    answer = _send(page, route, credentials[who], PROXY if "proxy" in who else "192.0.2.9")
    role = CALLERS[who]
    if (role or Role.ANYONE).includes(route.role):
        assert answer.status in ((409,) if "{kind}" in route.path else (200, 303)), answer.text
        assert not (answer.header("location") or "").startswith("/sign-in")
    elif role is not None:
        assert answer.status == 403
    elif isinstance(route, Endpoint):
        assert answer.status == 401
        assert (answer.header("www-authenticate") or "").startswith("Bearer "), "RFC 9110, section 11.6.1"
        assert answer.header("content-type") == "application/problem+json"
    else:
        assert answer.status == 303
        assert (answer.header("location") or "").startswith("/sign-in")


def test_no_route_has_a_default_role() -> None:
    """A route that forgets its role is an error of types and of Python."""
    with pytest.raises(TypeError):
        Page("GET", "/x", handle=lambda _c, _s: None)  # type: ignore[call-arg,arg-type,return-value]


def test_the_proxys_header_counts_from_the_proxy_alone(page: TestedPage) -> None:
    """Anybody can send it."""
    header = [("X-Forwarded-User", "oscar")]
    assert ask(page.app, "GET", "/api/v1/echo", header, client="10.0.0.8").status == 401
    assert ask(page.app, "GET", "/api/v1/echo", header, client=f"::ffff:{PROXY}").status == 200
    assert ask(page.app, "GET", "/api/v1/echo", header * 2, client=PROXY).status == 400
    assert ask(page.app, "GET", "/api/v1/echo", [("X-Forwarded-User", " ")], client=PROXY).status == 401
    assert ask(page.app, "GET", "/api/v1/echo", [("X-Forwarded-User", "a\x01")], client=PROXY).status == 400
    for bytes_given in ("Jürgen".encode(), "Jürgen".encode("latin-1")):
        named = [("X-Forwarded-User", bytes_given.decode("latin-1"))]
        assert ask(page.app, "GET", "/api/v1/echo", named, client=PROXY).json["caller"] == "Jürgen"


@pytest.mark.parametrize(
    ("hops", "address"),
    [
        ([], PROXY),
        (["192.0.2.1"], "192.0.2.1"),
        (["203.0.113.66, 192.0.2.1"], "192.0.2.1"),
        (["203.0.113.66", f"192.0.2.1, {PROXY}"], "192.0.2.1"),
        (["unknown"], PROXY),
        (["2001:db8::1"], "2001:db8::1"),
    ],
)
def test_the_callers_address(page: TestedPage, hops: list[str], address: str) -> None:
    """The last hop that is not a trusted proxy: those before it are whatever the caller wrote."""
    headers = [("X-Forwarded-User", "paula"), *(("X-Forwarded-For", hop) for hop in hops)]
    assert ask(page.app, "GET", "/api/v1/echo", headers, client=PROXY).json["address"] == address


@pytest.mark.parametrize("given", ["Bearer x", "Bearer", "Basic b3BlcmF0b3I6eA==", "r", "", "Bearer r, Bearer r"])
def test_a_wrong_token_is_never_overlooked(page: TestedPage, credentials: dict[str, Headers], given: str) -> None:
    """Not even together with a good cookie: the program that sent it has to learn that it is wrong."""
    answer = ask(page.app, "GET", "/api/v1/echo", [("Authorization", given), *credentials["read session"]])
    assert answer.status == 401
    assert "invalid_token" in (answer.header("www-authenticate") or "")


def test_anonymous_reading_on_loopback(tmp_path: Path) -> None:
    """May read, is asked to sign in for more, and does not come through a proxy."""
    with page_of(tmp_path) as open_page:
        assert ask(open_page.app, "GET", "/api/v1/echo").json["how"] == "anonymous"
        assert ask(open_page.app, "GET", "/names").status == 200
        assert ask(open_page.app, "POST", "/api/v1/echo", [JSON], b'{"queue":"q"}').status == 401
        assert ask(open_page.app, "POST", "/act", [FORM], form(queue="q")).header("location") == "/sign-in"
        for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Forwarded-User"):
            assert ask(open_page.app, "GET", "/api/v1/echo", [(header, "x")]).status == 401
