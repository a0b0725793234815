"""Queries and bodies: what is accepted, and with which status the rest is refused (RFC 9110, RFC 9457)."""

from collections.abc import Iterator
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.web.asking import FORM, JSON, Answered, ask
from support.web.tested_page import PASSWORD, TestedPage, page_of


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestedPage]:
    with page_of(tmp_path_factory.mktemp("page"), web_password=PASSWORD) as made:
        yield made


@pytest.fixture(scope="module")
def cookie(page: TestedPage) -> tuple[str, str]:
    return page.cookie()


def _is_problem(answer: Answered) -> None:
    """RFC 9457: the members, and the status as in the answer."""
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json.keys() == {"type", "title", "status", "detail"}
    assert answer.json["status"] == answer.status
    assert answer.json["title"] == HTTPStatus(answer.status).phrase


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("name=a%2Fb%23&limit=200", 200),
        ("ids=1&ids=2", 200),
        ("name=%F0%9F%90%99+%00", 200),
        ("name=", 200),
        ("limit=201", 422),
        ("limit=", 422),
        ("limit=1&limit=1", 422),
        ("name=a&name=a", 422),
        ("nmae=a", 422),
        ("&".join(f"x{n}=1" for n in range(1001)), 400),
        ("name=%FF", 400),
        ("name=%ED%A0%80", 400),
    ],
)
def test_query(page: TestedPage, cookie: tuple[str, str], query: str, status: int) -> None:
    """Nothing is guessed: what is unknown, twice or out of range is refused."""
    answer = ask(page.app, "GET", f"/api/v1/echo?{query}", [cookie])
    assert answer.status == status, answer.text
    if status != 200:
        _is_problem(answer)
    if "ids" in query:
        assert "'ids': ('1', '2')" in answer.json["given"]


def test_a_page_overlooks_empty_fields(page: TestedPage, cookie: tuple[str, str]) -> None:
    """A browser sends every field of a form."""
    assert ask(page.app, "GET", "/names?done=", [cookie]).status == 200
    assert ask(page.app, "GET", "/names?done=x", [cookie]).status == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"queue": "q"}', 200),
        (b'{"queue": "q", "ids": ["1", "2"]}', 200),
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"queue": NaN}', 400),
        (b"[" * 60_000, 400),
        (b'{"queue": ' + b"9" * 5000 + b"}", 400),
        (b"[]", 422),
        (b"null", 422),
        (b"{}", 422),
        (b'{"queue": ""}', 422),
        (b'{"queue": 1}', 422),
        (b'{"queue": "\\ud800"}', 422),
        (b'{"queue": "q", "queue": "r"}', 422),
        (b'{"queue": "q", "role": "operate"}', 422),
        (b'{"queue": "q", "ids": "1"}', 422),
        (b'{"queue": "' + b"q" * 65_536 + b'"}', 413),
    ],
)
def test_json_body(page: TestedPage, cookie: tuple[str, str], body: bytes, status: int) -> None:
    """Not JSON: 400. JSON that does not fit: 422. More than 64 KiB: 413."""
    answer = ask(page.app, "POST", "/api/v1/echo", [cookie, JSON], body)
    assert answer.status == status, answer.text
    if status != 200:
        _is_problem(answer)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_another_content_type(page: TestedPage, cookie: tuple[str, str], kind: str | None) -> None:
    """415: no form of a stranger's page makes JSON."""
    headers = [cookie, *((("Content-Type", kind),) if kind is not None else ())]
    answer = ask(page.app, "POST", "/api/v1/echo", headers, b'{"queue":"q"}')
    assert answer.status == 415
    _is_problem(answer)
    assert ask(page.app, "POST", "/act", [cookie, JSON], b'{"queue":"q"}').status == 415


def test_parameters_of_a_content_type(page: TestedPage, cookie: tuple[str, str]) -> None:
    """Types are compared without case and parameters (RFC 9110, section 8.3.1)."""
    kind = ("Content-Type", "Application/JSON; charset=utf-8")
    assert ask(page.app, "POST", "/api/v1/echo", [cookie, kind], b'{"queue":"q"}').status == 200


@pytest.mark.parametrize("declared", [None, "65537", "999999999999999999999999", "-1", "x"])
def test_a_body_without_end_is_not_kept(page: TestedPage, cookie: tuple[str, str], declared: str | None) -> None:
    """Whether it says its length or not. It is read a while, since a closed connection would lose the answer."""
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 65_536
            yield b"x" * 65_536

    headers = [cookie, JSON, *((("Content-Length", declared),) if declared else ())]
    answer = ask(page.app, "POST", "/api/v1/echo", headers, parts())
    assert answer.status == 413
    assert answer.header("connection") == "close"


def test_no_body_where_none_is_expected(page: TestedPage, cookie: tuple[str, str]) -> None:
    """An empty one is none, whatever its type."""
    assert ask(page.app, "POST", "/api/v1/bare", [cookie]).status == 200
    assert ask(page.app, "POST", "/api/v1/bare", [cookie, FORM]).status == 200
    assert ask(page.app, "POST", "/api/v1/bare", [cookie, JSON], b"{}").status == 422


def test_a_problem_does_not_repeat_values(page: TestedPage, cookie: tuple[str, str]) -> None:
    """They may be contents of messages, or a password in the wrong field."""
    for answer in (
        ask(page.app, "GET", "/api/v1/echo?limit=hunter2", [cookie]),
        ask(page.app, "POST", "/api/v1/echo", [cookie, JSON], b'{"queue": ["hunter2"]}'),
        ask(page.app, "POST", "/act", [cookie, FORM], b"ids=hunter2"),
    ):
        assert answer.status == 422
        assert "hunter2" not in answer.text
        assert "limit" in answer.text or "queue" in answer.text, "but they name the parameter"


@given(query=st.text(st.characters(max_codepoint=126, min_codepoint=33)), body=st.binary(max_size=200))
def test_no_input_is_an_error_of_ours(page: TestedPage, cookie: tuple[str, str], query: str, body: bytes) -> None:
    """Whatever is sent: never a status of 500."""
    statuses = {
        ask(page.app, "GET", f"/api/v1/echo?{query}", [cookie]).status,
        ask(page.app, "GET", f"/names?{query}", [cookie]).status,
        ask(page.app, "POST", "/api/v1/echo", [cookie, JSON], body).status,
        ask(page.app, "POST", "/act", [cookie, FORM], body).status,
    }
    assert statuses <= {200, 303, 400, 422}
