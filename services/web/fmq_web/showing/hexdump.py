"""Bytes as hexadecimal numbers, for payloads that are not UTF-8."""

_ROW = 16


def hexdump(data: bytes, *, offset: int = 0) -> str:
    """A line for each 16 bytes: its offset, the bytes, and those that are ASCII. ``offset`` is that of the first byte."""
    return "\n".join(
        f"{offset + start:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{_ascii(row)}|"
        for start in range(0, len(data), _ROW)
        for row in (data[start : start + _ROW],)
    )


def hex_line(data: bytes) -> str:
    """The same in one line, for a head: ``00 ff 10``."""
    return data.hex(" ")


def _ascii(row: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
