"""Figures as people read them: numbers with thousands separators, durations, sizes, in singular or plural."""

from collections.abc import Sequence

from fmq.text import counted

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_UNITS = ((86_400.0, "day"), (3_600.0, "h"), (60.0, "min"))


def spelled(number: int, noun: str) -> str:
    """``a listener``, ``two processors``, ``11 processors``: for sentences."""
    if number == 1:
        return f"a {noun}"
    return f"{_WORDS[number] if number < len(_WORDS) else f'{number:,}'} {noun}s"


def duration(seconds: float) -> str:
    """In one unit: ``4 s``, ``9 min``, ``3 h``, ``2 days``. Rounded down, as ages are."""
    for length, unit in _UNITS:
        if seconds >= length:
            whole = int(seconds // length)
            return counted(whole, unit) if unit == "day" else f"{whole:,} {unit}"
    return f"{max(0, int(seconds))} s"


def size(count: int) -> str:
    """``200 bytes``, ``6 KiB``, ``78 GiB``: rounded down."""
    if count < 1024:
        return counted(count, "byte")
    for unit in ("KiB", "MiB", "GiB"):
        count //= 1024
        if count < 1024:
            return f"{count:,} {unit}"
    return f"{count // 1024:,} TiB"


def listed(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else list(items))
