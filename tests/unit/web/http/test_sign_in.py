"""Signing in and out: cookies, limits, and what the log and the audit say of it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq.store.backends import open_store
from fmq_web.access.sessions import IDLE_SECONDS, TOTAL_SECONDS
from fmq_web.http.places import is_local, local
from support.web.asking import FORM, JSON, Headers, ask, form
from support.web.tested_page import PASSWORD, TestedPage, page_of, quick_hash

PROXY = "10.0.0.7"
BEN = f"ben:read:{quick_hash(PASSWORD)}\n"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[TestedPage]:
    users = tmp_path / "users"
    users.write_text(BEN)
    with page_of(tmp_path, web_users_file=str(users), web_password=PASSWORD, web_trusted_proxies=PROXY) as made:
        yield made


def _who(page: TestedPage, *headers: tuple[str, str]) -> str | None:
    answer = ask(page.app, "GET", "/api/v1/echo", headers)
    return answer.json["caller"] if answer.status == 200 else None


def test_the_cookie(page: TestedPage) -> None:
    """RFC 6265bis: HttpOnly, SameSite=Strict, for the whole page, until the browser ends; 256 bits."""
    answer = page.sign_in(next="/queue?name=a%2Fb")
    assert (answer.status, answer.header("location")) == (303, "/queue?name=a%2Fb")
    pair, *attributes = (answer.header("set-cookie") or "").split("; ")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    name, _, secret = pair.partition("=")
    assert name == "fmq-9466", "cookies know no ports, so the name has it"
    assert len(secret) == 43
    assert _who(page, ("Cookie", pair)) == "operator"
    assert _who(page, ("Cookie", f"a=b; {name}=old; {pair}; c=d")) == "operator", "a stranger's cookie hides nothing"
    assert _who(page, ("Cookie", f"{name}={secret[:-1]}")) is None
    assert _who(page, ("Cookie", f"{name}-x={secret}")) is None


def test_the_cookie_under_tls(page: TestedPage) -> None:
    """__Host- and Secure, and then no other cookie counts. Only a trusted proxy can say that it is so."""
    body = form(user="operator", password=PASSWORD)
    https = ("X-Forwarded-Proto", "https")
    fields = {
        client: (ask(page.app, "POST", "/sign-in", [FORM, https], body, client=client).header("set-cookie") or "")
        for client in (PROXY, "192.0.2.1")
    }
    assert fields[PROXY].startswith("__Host-fmq-9466=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Strict"} < set(fields[PROXY].split("; "))
    assert "Domain" not in fields[PROXY]
    assert "Secure" not in fields["192.0.2.1"]
    pair = fields[PROXY].partition(";")[0]
    assert ask(page.app, "GET", "/api/v1/echo", [https, ("Cookie", pair)], client=PROXY).status == 200
    assert _who(page, ("Cookie", pair)) is None
    plain = pair.removeprefix("__Host-")
    assert ask(page.app, "GET", "/api/v1/echo", [https, ("Cookie", plain)], client=PROXY).status == 401
    direct = ask(page.app, "POST", "/sign-in", [FORM], body, scheme="https")
    assert (direct.header("set-cookie") or "").startswith("__Host-")


def test_each_sign_in_makes_a_new_session_and_ends_the_old(page: TestedPage) -> None:
    """No session that somebody planted survives (session fixation)."""
    first = page.cookie()
    again = ask(page.app, "POST", "/sign-in", [FORM, first], form(user="ben", password=PASSWORD))
    second = ("Cookie", (again.header("set-cookie") or "").partition(";")[0])
    assert first != second
    assert (_who(page, first), _who(page, second)) == (None, "ben")
    assert len(page.sampler.ended) == 1, "its streams are cut"
    planted = ("Cookie", "fmq-9466=planted")
    third = ask(page.app, "POST", "/sign-in", [FORM, planted], form(user="ben", password=PASSWORD))
    assert "planted" not in (third.header("set-cookie") or "")
    assert _who(page, planted) is None


def test_sign_out(page: TestedPage) -> None:
    """The session ends on the server and its streams with it; the browser forgets the cookie."""
    cookie = page.cookie()
    assert ask(page.app, "GET", "/sign-out", [cookie]).status == 405, "no link or picture signs anybody out"
    assert _who(page, cookie) == "operator"
    answer = ask(page.app, "POST", "/sign-out", [FORM, cookie])
    assert (answer.status, answer.header("location")) == (303, "/")
    assert "Max-Age=0" in (answer.header("set-cookie") or "")
    assert _who(page, cookie) is None
    assert len(page.sampler.ended) == 1
    assert ask(page.app, "POST", "/sign-out", [FORM, cookie]).status == 303


def test_time_ends_a_session(page: TestedPage) -> None:
    """An hour without a request; twelve hours in all."""
    cookie = page.cookie()
    page.clock.advance(IDLE_SECONDS - 1)
    assert _who(page, cookie)
    page.clock.advance(IDLE_SECONDS)
    assert _who(page, cookie) is None
    cookie = page.cookie()
    for _ in range(int(TOTAL_SECONDS // 1800) - 1):
        page.clock.advance(1800)
        assert _who(page, cookie)
    page.clock.advance(1800)
    assert _who(page, cookie) is None


def test_a_failure_tells_nothing(page: TestedPage, caplog: pytest.LogCaptureFixture) -> None:
    """The same answer for a wrong user and a wrong password. The log never has what may be a password."""
    caplog.set_level(logging.DEBUG)
    bodies = []
    for user, password in (("operator", "hunter2hunter2"), ("hunter2hunter2", "operator"), ("", "")):
        page.clock.advance(60)
        answer = page.sign_in(user, password)
        assert (answer.status, answer.header("set-cookie")) == (403, None)
        bodies.append(answer.text.replace(f"'{user}'", "''"))
    assert len(set(bodies)) == 1
    assert "hunter2" not in caplog.text
    assert [one for one in caplog.messages if one.startswith("Sign-in of")] == [
        "Sign-in of operator from 127.0.0.1 failed",
        *["Sign-in of an unknown user from 127.0.0.1 failed"] * 2,
    ]


def test_too_many_tries(page: TestedPage) -> None:
    """429 with the time to wait (RFC 6585), and no password is checked meanwhile; another address is not delayed."""
    assert page.sign_in(password="wrong password").status == 403  # noqa: S106 - of the test
    for _ in range(3):
        answer = page.sign_in()
        assert (answer.status, answer.header("retry-after")) == (429, "1")
    body = form(user="operator", password=PASSWORD)
    assert ask(page.app, "POST", "/sign-in", [FORM], body, client="192.0.2.7").status == 303
    page.clock.advance(1)
    assert page.sign_in().status == 303
    assert page.registry.get_sample_value("fmq_web_sign_in_failures_total") == 1
    assert page.registry.get_sample_value("fmq_web_refused_sign_ins_total") == 3


def test_a_sign_in_is_in_the_audit(page: TestedPage, tmp_path: Path) -> None:
    """Failed ones are in the log only: they would push what operators did out of the audit."""
    page.sign_in(password="wrong password")  # noqa: S106 - of the test
    page.clock.advance(1)
    page.cookie("ben")
    with open_store(f"sqlite:///{tmp_path}/q.db", create=False) as store:
        actions = store.actions()
    assert [(one.actor, one.kind, one.selection, one.changed) for one in actions] == [
        ("ben", "sign-in", "from 127.0.0.1", 0)
    ]
    assert actions[0].ended_at is not None


def test_signing_in_works_without_a_store(tmp_path: Path) -> None:
    """The person who signs in may be the one to repair it."""
    with page_of(tmp_path, store=False, web_password=PASSWORD) as page:
        cookie = page.cookie()
        answer = ask(page.app, "GET", "/names", [cookie])
        assert answer.status == 503
        assert "store_unreadable.html" in answer.text


def test_whoever_has_signed_in_is_led_on(page: TestedPage) -> None:
    """A link from elsewhere comes without the cookie (SameSite=Strict); a reload of the sign-in page then leads on."""
    cookie = page.cookie()
    asked = ask(page.app, "GET", "/names?done=1")
    assert asked.header("location") == "/sign-in?next=%2Fnames%3Fdone%3D1"
    assert ask(page.app, "GET", "/sign-in?next=%2Fnames%3Fdone%3D1").status == 200
    led = ask(page.app, "GET", "/sign-in?next=%2Fnames%3Fdone%3D1", [cookie])
    assert (led.status, led.header("location")) == (303, "/names?done=1")


def test_a_link_on_another_site_does_not_sign_out(page: TestedPage) -> None:
    """The browser leaves the cookie out. It is asked to come again from this site, once, and then sends it."""
    link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]
    answer = ask(page.app, "GET", "/names?done=1&x=%22%3E%3Cscript%3E", link)
    assert answer.status == 200
    assert 'content="0; url=/names?done=1&amp;x=%22%3E%3Cscript%3E"' in answer.text
    assert ask(page.app, "GET", "/names?done=1", [*link, page.cookie()]).text.startswith("<p>names.html")
    again = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate")]
    assert ask(page.app, "GET", "/names?done=1", again).header("location") == "/sign-in?next=%2Fnames%3Fdone%3D1"
    assert ask(page.app, "GET", "/api/v1/echo", link).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "//evil.com",
        "/\\evil.com",
        "\\\\evil.com",
        "http://evil.com",
        "javascript:alert(1)",
        "",
        "evil.com",
        "/\t/evil.com",
        "/a\r\nSet-Cookie: x=y",
        "/ /evil.com",
        "/\u202egnp",
    ],
)
def test_no_sign_in_leads_to_another_site(page: TestedPage, path: str) -> None:
    """And none splits a header."""
    answer = page.sign_in(next=path)
    assert (answer.status, answer.header("location")) == (303, "/")


@given(st.text() | st.text("/\\:@?#.\t\n%ae", max_size=8).map("/".__add__))
def test_a_local_path_stays_local(path: str) -> None:
    """The WHATWG's URL rules: a backslash is a slash, tabs and line ends vanish."""
    found = local(path)
    assert found.isascii()
    assert found.isprintable()
    seen = path.replace("\\", "/")
    for gone in "\t\r\n":
        seen = seen.replace(gone, "")
    assert not is_local(path) or (seen.startswith("/") and not seen.startswith("//"))
    assert found.startswith("/")
    assert not found.startswith("//")


def test_what_an_action_said_is_shown_once_to_its_caller(page: TestedPage) -> None:
    """On the next page, to nobody else, and it is not in the URL."""
    anna, ben = page.cookie(), page.cookie("ben")
    answer = ask(page.app, "POST", "/act", [FORM, anna], form(queue="q"))
    assert (answer.status, answer.header("location")) == (303, "/names?done=1")
    assert "said=<" in ask(page.app, "GET", "/names", [ben]).text
    assert "said=Done by operator." in ask(page.app, "GET", "/names?done=1", [anna]).text
    assert "said=<" in ask(page.app, "GET", "/names?done=1", [anna]).text


@pytest.mark.parametrize(
    ("path", "body", "kind"), [("/act", form(queue="q"), FORM), ("/api/v1/echo", b'{"queue":"q"}', JSON)]
)
def test_each_action_is_one_log_line(
    page: TestedPage, caplog: pytest.LogCaptureFixture, path: str, body: bytes, kind: tuple[str, str]
) -> None:
    """With who, what and the status; reading logs nothing."""
    cookie: Headers = [page.cookie()]
    caplog.set_level(logging.INFO)
    ask(page.app, "GET", "/names", cookie)
    answer = ask(page.app, "POST", path, [kind, *cookie], body)
    assert caplog.messages == [f"{path} of q by operator (session, 127.0.0.1): {answer.status}"]
