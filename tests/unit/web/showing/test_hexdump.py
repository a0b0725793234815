"""Bytes as people read them."""

from hypothesis import given
from hypothesis import strategies as st

from fmq_web.showing.hexdump import hex_line, hexdump


@given(data=st.binary(max_size=100), offset=st.integers(0, 2**31))
def test_every_byte_is_there(data: bytes, offset: int) -> None:
    """The numbers of all lines are the bytes; each line begins with its offset."""
    lines = hexdump(data, offset=offset).split("\n") if data else []
    assert b"".join(bytes.fromhex(line[10:58]) for line in lines) == data
    assert [int(line[:8], 16) for line in lines] == [offset + 16 * number for number in range(len(lines))]
    assert bytes.fromhex(hex_line(data)) == data


def test_a_line() -> None:
    assert hexdump(b"a\x00<b>|\xff89abcdefg") == (
        "00000000  61 00 3c 62 3e 7c ff 38  39 61 62 63 64 65 66 67  |a.<b>|.89abcdefg|"
    )
