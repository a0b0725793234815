"""Texts that anyone may have sent come out as the same visible text, and change nothing else of a page."""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser

import pytest
from jinja2 import BaseLoader, Environment, PackageLoader

from fmq_web.http.peer.caller import Caller, Role
from fmq_web.http.route import Shown
from fmq_web.pages.render import environment, render_with
from fmq_web.showing.text import flat
from support.web.every_page import every_page
from support.web.texts import Texts

CORPUS = {
    "script": "<script>alert(1)</script>",
    "svg": "<svg/onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a>",
    "end of script": "</script><img src=x onerror=alert(1)>",
    "end of title": "</title></textarea></pre></code><b>",
    "attribute": "\" onmouseover='alert(1)' x=\"",
    "apostrophe": "' autofocus onfocus=alert(1) '",
    "template": "{{ 7 * 7 }}{% include '/etc/passwd' %}${7*7}<%= 7 %>{# x #}",
    "entity": "&lt;b&gt;&amp;lt;&#x3c;&NotEqualTilde;&copy",
    "comment": "<!-- x --> ]]> <![CDATA[ x ]]> <?php ?>",
    "bidi": "a\u202eb\u2066c\u2069d\u200fe",
    "invisible": "a\u200bb\ufeffc\u00add\u2028e\u3164f",
    "control": "a\x00b\x1b[31mc\x07d\x7fe\x85f",
    "lines": "a\r\nb\tc\x0bd",
    "javascript": "javascript:alert(1)//",
    "outside": "//evil.example/x",
    "emoji": "\U0001f469\u200d\U0001f4bb\U0001f1e9\U0001f1ea",
    "combining": "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d" * 5,
}
PAGES = sorted(every_page())
_CALLER = Caller(name="jana", role=Role.OPERATE, how="session", address="127.0.0.1", session="s")
_TEMPLATES = environment(PackageLoader("fmq_web.pages"))
_WITHOUT = {
    "dead-none",
    "overview-empty",
    "workers-none",
    "error-403",
    "error-404",
    "runbook",
    "sign-in",
    "message-hidden",
}
"""Pages without texts from outside, or only in attributes or cut."""


@cache
def _pages(text: str) -> Mapping[str, Shown]:
    return every_page(Texts.all(text))


class Parsed(HTMLParser):
    """The elements with the names of their attributes, and the visible text. Marks of escapes do not count as elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.targets: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if (tag, attrs) != ("span", [("class", "esc")]):
            self.elements.append((tag, *(name for name, _ in attrs)))
        self.targets += [value or "" for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def check(templates: Environment, name: str, text: str) -> None:
    """Fails if ``text`` changes more than the text of a page."""
    plain = "x" * len(text)  # as long, since long texts are shown otherwise
    expected, shown = (Parsed(render_with(templates, _pages(one)[name], _CALLER, one)) for one in (plain, text))
    assert Counter(shown.elements) == Counter(expected.elements)  # lists are sorted by name
    assert all(target.startswith(("/", "#")) and not target.startswith("//") for target in shown.targets)
    assert all(one.isprintable() or one in "\n\t" for one in shown.text)
    shown.text.encode()
    if name not in _WITHOUT:
        assert shown.text.count(flat(text)) >= 2  # the notice, and at least once more


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_a_text_from_outside_adds_nothing_but_itself(text: str) -> None:
    """No element, no attribute, no target, no character that can't be seen, on any page."""
    for name in PAGES:
        check(_TEMPLATES, name, text)


@pytest.mark.parametrize("name", ["queue", "messages", "message", "overview", "workers", "dead", "activity"])
def test_without_escaping_the_check_fails(name: str) -> None:
    """Control: a template that trusts one text."""

    class Trusting(BaseLoader):
        def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, None]:
            source, path, _ = PackageLoader("fmq_web.pages").get_source(environment, template)
            return source.replace("{{ part.text | lines }}", "{{ part.text | safe }}"), path, None

    with pytest.raises(AssertionError):
        check(environment(Trusting()), name, CORPUS["script"])


def test_a_topic_of_65535_bytes_is_shown_whole_once() -> None:
    """On its own page; lists show its beginning."""
    topic = "sensors/" + "t" * 65_527
    pages = every_page(Texts(topic=topic))
    message = Parsed(render_with(_TEMPLATES, pages["message"], _CALLER, ""))
    assert topic in message.text
    messages = render_with(_TEMPLATES, pages["messages-dead"], _CALLER, "")
    assert len(messages) < 40_000
    assert "65,535 characters" in messages


def test_nothing_turns_escaping_off() -> None:
    """The list of exceptions is empty."""
    loader = PackageLoader("fmq_web.pages")
    for name in loader.list_templates():
        source = loader.get_source(_TEMPLATES, name)[0]
        assert "safe" not in source, name
        assert "autoescape" not in source, name
        assert " style=" not in source, name
        assert "<script>" not in source, name
        assert not re.search(r"\son\w+\s*=", source), name


@pytest.mark.parametrize("value", [None, 1.5, True, ["x"], b"x"])
def test_only_texts_and_whole_numbers_are_printed(value: object) -> None:
    """Whatever else gets into a template is a mistake that no reader should see."""
    with pytest.raises(TypeError):
        _TEMPLATES.from_string("{{ value }}").render(value=value)


@pytest.mark.parametrize("template", ["{{ value }}", "{{ value | lines }}", "<a title='{{ value | exact }}'>"])
def test_what_utf_8_cannot_encode_is_shown_all_the_same(template: str) -> None:
    """Lone surrogates and NUL, wherever they came from."""
    html = _TEMPLATES.from_string(template).render(value="a\ud800b\udfffc\0d")
    assert "\0" not in html
    html.encode()
