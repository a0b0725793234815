"""Properties as the text that every backend keeps."""

from hypothesis import given
from hypothesis import strategies as st

from fmq.message import Properties
from fmq.store.properties import encode_properties, first_properties, readable_properties

_TEXT = st.text(st.sampled_from('a"],[{}:\\\u202e\ud800') | st.characters(), max_size=12)
_PROPERTIES = st.builds(
    Properties,
    payload_format_indicator=st.none() | st.just(1),
    message_expiry_interval=st.none() | st.integers(0, 2**32 - 1),
    content_type=st.none() | _TEXT,
    response_topic=st.none() | _TEXT,
    correlation_data=st.none() | st.binary(max_size=20),
    user_properties=st.lists(st.tuples(_TEXT, _TEXT), max_size=6).map(tuple),
)


@given(_PROPERTIES, st.integers(0, 400))
def test_the_beginning_of_a_text(properties: Properties, size: int) -> None:
    """It says nothing that the whole does not say, and has each pair that is whole, but for the one at the cut."""
    text = encode_properties(properties) or ""
    assert readable_properties(text or None) == properties
    if size >= len(text):
        return
    found = first_properties(text[:size])
    assert found.user_properties == properties.user_properties[: len(found.user_properties)]
    for name in ("payload_format_indicator", "content_type", "response_topic", "correlation_data"):
        assert getattr(found, name) in (None, getattr(properties, name))
    whole = text[:size].count('"],["')
    assert len(found.user_properties) == whole


@given(st.binary(min_size=1, max_size=300), st.integers(0, 300))
def test_the_beginning_of_raw_properties(raw: bytes, size: int) -> None:
    """Their first bytes."""
    text = encode_properties(Properties(raw=raw)) or ""
    if size < len(text):
        assert raw.startswith(first_properties(text[:size]).raw or b"")
