"""What holds for every request: hosts, origins, headers, counts."""

import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from fmq_web.http.headers import ALWAYS
from fmq_web.http.peer.hosts import Hosts
from fmq_web.http.peer.origin import is_cross_origin
from support.web.asking import FORM, JSON, ask, form
from support.web.tested_page import PASSWORD, SECRET, TestedPage, page_of

HOST = "fmq.example.com:9466"
SITES = (None, "same-origin", "same-site", "cross-site", "none", "", "Same-Origin", "same-origin, none")
ORIGINS = (
    None,
    "http://fmq.example.com:9466",
    "https://fmq.example.com:9466",
    "http://fmq.example.com",
    "http://evil.example.com",
    "http://fmq.example.com:9466.evil.com",
    "http://evil.com/@fmq.example.com:9466",
    "null",
    "",
    "http://[",
    "fmq.example.com:9466",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestedPage]:
    with page_of(tmp_path_factory.mktemp("page"), web_hosts="fmq.example.com") as made:
        yield made


def _expected(method: str, site: str | None, origin: str | None) -> bool:
    """Go 1.25, net/http, CrossOriginProtection.Check, in its own order."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return True
    if site in ("same-origin", "none"):
        return True
    if site:
        return False
    if not origin:
        return True
    return origin.partition("://")[2] == HOST


@pytest.mark.parametrize(("site", "origin"), list(product(SITES, ORIGINS)))
def test_origin_as_go_does(site: str | None, origin: str | None) -> None:
    """Every combination of method, Sec-Fetch-Site and Origin."""
    raw = [("host", HOST), ("sec-fetch-site", site), ("origin", origin)]
    headers = Headers(raw=[(name.encode(), value.encode()) for name, value in raw if value is not None])
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "X"):
        assert is_cross_origin(method, headers) is not _expected(method, site, origin), method


def test_a_second_header_does_not_help() -> None:
    """Headers that are there twice equal nothing that is allowed."""
    for name, good, bad in (
        ("sec-fetch-site", "same-origin", "cross-site"),
        ("origin", f"http://{HOST}", "http://evil.example.com"),
    ):
        for values in ((good, bad), (bad, good)):
            raw = [(b"host", HOST.encode()), *((name.encode(), value.encode()) for value in values)]
            assert is_cross_origin("POST", Headers(raw=raw))


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/act", "/api/v1/echo", "/no-such-page"])
def test_another_site_changes_nothing(page: TestedPage, path: str) -> None:
    """On every route and for every caller, even at sign-in: another site must not sign its visitors in."""
    for header in (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site"), ("Origin", "http://evil.com")):
        headers = [header, FORM, ("Authorization", "Bearer x")]
        answer = ask(page.app, "POST", path, headers, form(user="operator", password=PASSWORD), host=HOST)
        assert answer.status == 403
        assert answer.header("set-cookie") is None


def test_another_site_reads_nothing_of_the_api(tmp_path: Path) -> None:
    """A link that a person follows works."""
    with page_of(tmp_path) as open_page:
        for mode, status in (("no-cors", 403), ("cors", 403), ("navigate", 200)):
            headers = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", mode)]
            assert ask(open_page.app, "GET", "/api/v1/echo", headers).status == status
            assert ask(open_page.app, "GET", "/names", headers).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST.:80", 200),
        ("127.0.0.1:9466", 200),
        ("127.9.9.9", 200),
        ("[::1]:9466", 200),
        ("fmq.example.com", 200),
        ("FMQ.Example.com:443", 200),
        ("192.0.2.5:9466", 200),  # the address that the connection came to
        ("192.0.2.6:9466", 421),
        ("evil.example.com", 421),
        ("fmq.example.com.evil.com", 421),
        ("evil.com:9466@localhost", 421),
        ("localhost:9466:80", 421),
        ("localhost]", 421),
        ("[localhost", 421),
        ("[]", 421),
        ("localhost:x", 421),
        ("::1", 421),
        ("[::1", 421),
        ("0.0.0.0", 421),  # noqa: S104 - not bound
        ("", 421),
        (None, 421),
    ],
)
def test_hosts(page: TestedPage, host: str | None, status: int) -> None:
    """A stranger's name that points here (DNS rebinding) gets nothing, not even the sign-in page."""
    answer = ask(page.app, "GET", "/api/v1/open", host=host, server=("192.0.2.5", 9466))
    assert answer.status == status
    assert ask(page.app, "GET", "/sign-in", host=host, server=("192.0.2.5", 9466)).status == status


def test_two_hosts(page: TestedPage) -> None:
    """Ambiguous."""
    assert ask(page.app, "GET", "/sign-in", [("Host", "localhost")], host="localhost").status == 421


@given(st.text(st.characters(codec="latin-1")))
def test_no_host_breaks_the_check(host: str) -> None:
    """And none that is not in the list passes."""
    allowed = Hosts("0.0.0.0", ("fmq.example.com",)).allows(host, "192.0.2.5")  # noqa: S104 - not bound
    known = ("localhost", "127.", "[::1]", "[0", "[::ffff:", "fmq.example.com", "192.0.2.5")
    assert not allowed or host.lower().startswith(known)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/sign-in", 200),
        ("GET", "/names", 303),
        ("GET", "/api/v1/open", 200),
        ("GET", "/api/v1/echo", 401),
        ("GET", "/no-such-page", 404),
        ("GET", "/api/v1/no-such-page", 404),
        ("DELETE", "/names", 405),
        ("OPTIONS", "/api/v1/echo", 405),
        ("GET", "/assets/v0/x", 404),
    ],
)
def test_headers_of_every_answer(page: TestedPage, method: str, path: str, status: int) -> None:
    """Whatever the answer."""
    answer = ask(page.app, method, path)
    assert answer.status == status
    for name, value in ALWAYS.items():
        assert answer.header(name) == value
    assert "unsafe" not in ALWAYS["Content-Security-Policy"]


def test_allow(page: TestedPage) -> None:
    """RFC 9110, section 15.5.6: all methods of the path."""
    assert ask(page.app, "PUT", "/api/v1/echo").header("allow") == "GET, POST, HEAD"
    assert ask(page.app, "PUT", "/act").header("allow") == "POST"
    assert ask(page.app, "GET", "/sign-out").header("allow") == "POST"


def test_head(page: TestedPage) -> None:
    """RFC 9110, section 9.3.2: as GET, without a body."""
    got, head = ask(page.app, "GET", "/api/v1/open"), ask(page.app, "HEAD", "/api/v1/open")
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


def test_assets_are_kept_for_ever(page: TestedPage) -> None:
    """They alone; anyone gets them, since the sign-in page needs them."""
    answer = ask(page.app, "GET", "/assets/v1/css/style.css")
    assert (answer.status, answer.header("content-type")) == (200, "text/css; charset=utf-8")
    assert answer.header("cache-control") == "public, max-age=31536000, immutable"
    assert answer.header("x-content-type-options") == "nosniff"


def test_an_unexpected_error_gives_nothing_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its text may hold contents of messages: neither the caller nor the log gets it, but the log says where."""
    caplog.set_level(logging.DEBUG)
    with page_of(tmp_path) as open_page:
        answers = [ask(open_page.app, "GET", path) for path in ("/api/v1/fail/bug", "/fail/bug")]
    assert [answer.status for answer in answers] == [500, 500]
    assert all(SECRET not in answer.text for answer in answers)
    assert all(SECRET not in str(record.__dict__) for record in caplog.records)
    assert any(
        "/api/v1/fail/{kind} failed: ValueError at" in one and "tested_page.py:" in one for one in caplog.messages
    )


def test_metrics_know_routes_and_no_paths(page: TestedPage) -> None:
    """A caller can't make series."""
    for path in ("/made-up/1", "/made-up/2", "/api/v1/echo/17"):
        ask(page.app, "GET", path)
        ask(page.app, "BREW", path)
    labels = {
        (sample.labels["route"], sample.labels["method"])
        for metric in page.registry.collect()
        for sample in metric.samples
        if sample.name == "fmq_web_requests_total"
    }
    assert {("other", "GET"), ("other", "other"), ("/api/v1/echo/{id}", "GET")} <= labels
    assert not [route for route, _ in labels if "17" in route or "made-up" in route]


def test_json_needs_no_origin(tmp_path: Path) -> None:
    """A program with a token sends neither header, and gets through (control for the tests above)."""
    users = tmp_path / "users"
    users.write_text("")
    with page_of(tmp_path, web_users_file=str(users)) as closed:
        assert ask(closed.app, "POST", "/api/v1/echo", [JSON], b'{"queue":"q"}').status == 401
