"""Sizes and times as people write them: ``64MiB``, ``250ms``, ``1d``. A plain number is a number of bytes or seconds.

Own code, since a size and a time are one number and one unit, with the same rules for both, in settings and on the command line.
"""

import re
from decimal import Decimal
from typing import Literal

Unit = Literal["seconds", "bytes"]

_UNITS: dict[Unit, dict[str, Decimal]] = {
    "seconds": {
        "ms": Decimal("0.001"),
        "s": Decimal(1),
        "m": Decimal(60),
        "h": Decimal(3_600),
        "d": Decimal(86_400),
        "w": Decimal(604_800),
    },
    "bytes": {
        "B": Decimal(1),
        **{f"{letter}B": Decimal(1000) ** (power + 1) for power, letter in enumerate("kMGT")},
        **{f"{letter}iB": Decimal(1024) ** (power + 1) for power, letter in enumerate("KMGT")},
    },
}
_SHOWN: dict[Unit, tuple[str, ...]] = {"seconds": ("d", "h", "m", "s"), "bytes": ("TiB", "GiB", "MiB", "KiB")}
_TEXT = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]+)\s*")
_WORDS: dict[Unit, dict[str, str]] = {
    "seconds": {
        **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), "ms"),
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
        **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
        **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
        **dict.fromkeys(("d", "day", "days"), "d"),
        **dict.fromkeys(("w", "week", "weeks"), "w"),
    },
    "bytes": {
        "b": "B",
        **{f"{letter.lower()}ib": f"{letter}iB" for letter in "KMGT"},
        **{f"{letter.lower()}b": f"{letter}B" for letter in "kMGT"},
        **{letter.lower(): f"{letter}iB" for letter in "KMGT"},
    },
}
"""What people write for a unit, in lower case."""
_PARTS = re.compile(r"\s*([0-9]{1,18}(?:[.,][0-9]{1,9})?)\s*([A-Za-z]+)")
PATTERNS: dict[Unit, str] = {unit: rf"^[0-9]+(\.[0-9]+)?( ?({'|'.join(known)}))?$" for unit, known in _UNITS.items()}
"""What a size or time as text looks like, for editors."""


def parse(text: str, unit: Unit) -> int | float | None:
    """The bytes or seconds of a number with a unit; None if ``text`` is not one, as a plain number is not."""
    found = _TEXT.fullmatch(text)
    if found is None or found[2] not in _UNITS[unit]:
        return None
    value = Decimal(found[1]) * _UNITS[unit][found[2]]
    return int(value) if value == value.to_integral_value() else float(value)


def show(value: float, unit: Unit) -> str:
    """``value`` with the largest unit of which it is a whole number, such as 64MiB, 5m or 250ms."""
    if value == 0 or value != value or abs(value) == float("inf"):  # noqa: PLR0124 - NaN is not equal to itself
        return f"{value:g}"
    for name in _SHOWN[unit]:
        count = value / float(_UNITS[unit][name])
        if count >= 1 and count == int(count):
            return f"{int(count)}{name}"
    if unit == "bytes":
        return f"{value:.0f}"
    return f"{value:.12g}s" if value >= 1 else f"{value * 1000:.9g}ms"


def hint(text: str, unit: Unit) -> str:
    """What a text was probably meant to be that ``parse`` does not know, such as 1h30m or 64M, as a sentence. Empty: unclear."""
    parts = _PARTS.findall(text)
    if not parts or parse(text, unit) is not None or _PARTS.sub("", text).strip():
        return ""
    known = [(count.replace(",", "."), _WORDS[unit].get(word.lower())) for count, word in parts]
    if any(name is None for _, name in known) or (unit == "bytes" and len(known) > 1):
        return f" Known units: {kinds(unit)}."
    if len(known) == 1:
        ((count, name),) = known
        return f" Did you mean {count}{name}?"
    return f" Did you mean {show(sum(float(count) * float(_UNITS[unit][str(name)]) for count, name in known), unit)}?"


def kinds(unit: Unit) -> str:
    """The units that ``parse`` knows, for people."""
    return ", ".join(_UNITS[unit])
