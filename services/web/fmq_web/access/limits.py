"""Slows down the guessing of passwords. Nobody is ever locked out."""

import math
from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address, ip_network

from fmq.clock import Clock

PER_MINUTE = 30
_MOST_ADDRESSES = 1_000
_LONGEST_DELAY = 60.0
_FORGET_SECONDS = 900.0


class SignInLimits:
    """After each failure an address waits twice as long, up to a minute; all addresses together have 30 tries a minute.

    A try counts as failed from its beginning, so that tries at the same time wait for each other. Not for several threads.
    """

    def __init__(self, clock: Clock, *, most_addresses: int = _MOST_ADDRESSES) -> None:
        self._clock = clock
        self._most = most_addresses
        self._tries: deque[float] = deque()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def admit(self, address: str) -> float:
        """Returns 0 and counts a try of ``address``, or returns the seconds that it has to wait."""
        now, source = self._clock.steady(), _source(address)
        while self._tries and now - self._tries[0] >= 60:
            self._tries.popleft()
        count, last = self._failures.get(source, (0, -math.inf))
        if now - last >= _FORGET_SECONDS:
            count = 0
        wait = last + _delay(count) - now if count else 0.0
        if len(self._tries) >= PER_MINUTE:
            wait = max(wait, self._tries[0] + 60 - now)
        if wait > 0:
            return wait
        self._tries.append(now)
        self._failures[source] = (count + 1, now)
        self._failures.move_to_end(source)
        if len(self._failures) > self._most:
            self._failures.popitem(last=False)
        return 0.0

    def succeeded(self, address: str) -> None:
        """The last try of ``address`` had the right password."""
        self._failures.pop(_source(address), None)


def _delay(failures: int) -> float:
    return min(2.0 ** min(failures - 1, 10), _LONGEST_DELAY)


def _source(address: str) -> str:
    """An IPv6 user has a whole /64 of addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((int(parsed), 64), strict=False))
    return str(parsed)
