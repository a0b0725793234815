"""What many reasons have in common: failures are understood in groups."""

import re

_LONGEST = 200
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`"
_UUID = r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
_HEX = r"\b(?:0[xX][0-9a-fA-F]+|(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{6,})\b"
_NUMBER = r"\d+(?:[.,:]\d+)*"
_VARIABLE = re.compile(f"{_QUOTED}|{_UUID}|{_HEX}|{_NUMBER}")
_PLACE = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}…\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


def fingerprint(reason: str) -> str:
    """The first line of ``reason`` with a placeholder for each number, UUID, hexadecimal number and quoted text.

    At most 200 characters.
    """
    first = reason.lstrip().partition("\n")[0][: 4 * _LONGEST].rstrip()
    return _VARIABLE.sub(_PLACE, first)[:_LONGEST].rstrip()
