"""Figures as the pages print them. static/figures.js has the same rules; tests/browser compares them."""

NONE = "\N{EN DASH}"
"""For what is not known, or does not apply."""
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_LIMIT = 10_000


def count(number: int) -> str:
    """``2,310``."""
    return f"{number:,}"


def capped(number: int) -> str:
    """A count that stops at 10,000: ``12``, ``10,000+``."""
    return f"{number:,}+" if number >= _LIMIT else f"{number:,}"


def rate(per_second: float | None) -> str:
    """Per second: ``0``, ``<0.1``, ``2.5``, ``69``; NONE while nobody knows."""
    if per_second is None:
        return NONE
    if 0 < per_second < 0.05:
        return "<0.1"
    if per_second < 9.95:
        return f"{per_second:.1f}".removesuffix(".0")
    return f"{int(per_second + 0.5):,}"


def duration(seconds: float | None) -> str:
    """In one unit, rounded down: ``0 s``, ``4 s``, ``9 min``, ``3 h``, ``2 d``; NONE for None."""
    if seconds is None:
        return NONE
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length):,} {unit}"
    return f"{max(0, int(seconds))} s"


def precise(seconds: float | None) -> str:
    """A short time with its milliseconds: ``3 ms``, ``1.25 s``; longer ones as ``duration``."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{seconds:.2f} s" if seconds < _UNITS[-1][0] else duration(seconds)


def size(octets: int) -> str:
    """``200 B``, ``6 KiB``, ``78 GiB``, rounded down."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < 1024:
            return f"{octets:,} {unit}"
        octets //= 1024
    return f"{octets:,} TiB"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """``1 message``, ``2,310 messages``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
