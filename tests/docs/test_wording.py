"""Plain English: texts do not use the phrases that people stumble over."""

import pytest

from support import wording

_ALLOWED = {("LICENSE", "shall"): "the words of the MIT licence"}


def test_texts_are_in_plain_english() -> None:
    """No page, help text, message, docstring or comment has a phrase of the list; each finding names what to write instead."""
    found = [
        f"{text.place}: {name!r} (write: {instead}): {text.text.strip()[:120]}"
        for text in wording.texts()
        for name, instead in wording.matches(text)
        if (text.place.split(":")[0], name) not in _ALLOWED
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FMQ_BATHC is no setting: FMQ_BATCH may be meant", "may be meant"),
        ("'ten' is no number: it would be a number from 1", "it would be"),
        ("A processor heeds it with FMQ_UPKEEP", "heed"),
        ("stores what comes; one queue a topic filter, one a line", "one a line"),
        ("there is no queue 'b' in q.db", "there is no X"),
        ("messages shall go into another store", "shall"),
        ("the broker ended it without a word", "without a word"),
        ("What a listener is told, beside what every service is", "is told"),
        ("What a listener is told, beside what every service is", "beside"),
    ],
)
def test_the_list_finds_what_it_is_for(text: str, name: str) -> None:
    """Sentences as they were, each with the phrase that it has to be found by."""
    assert name in [found for found, _ in wording.matches(wording.Text("docs", "page.md:1", text))]
