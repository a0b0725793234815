"""A limit of messages per time, as people write it: ``100/s``, ``1000/min``, ``5/h``."""

import re

_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_TEXT = re.compile(rf"([0-9]{{1,12}}(?:\.[0-9]{{1,6}})?)/({'|'.join(_SECONDS)})")
FASTEST = 100_000.0
"""Messages per second. Beyond it a limit costs more than it limits."""


def parse_rate(text: str) -> float:
    """Messages per second; 0 for no limit ("" or "0"). Raises ValueError."""
    if text in ("", "0"):
        return 0.0
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError("it has no unit" if "/" not in text else "its number or its unit is unknown")
    rate = float(found[1]) / _SECONDS[found[2]]
    if not rate:
        raise ValueError("it lets nothing through: pause the queue instead, or leave it empty for no limit")
    if rate > FASTEST:
        raise ValueError(f"it is more than {FASTEST:g}/s")
    return rate
