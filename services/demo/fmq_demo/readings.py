"""Simulated sensor readings. Pure but for its random numbers."""

import json
import random
from dataclasses import dataclass

ROOMS = ("kitchen", "bedroom", "office", "cellar", "greenhouse")
_BROKEN_SHARE = 0.005
"""How many readings carry no value, as of a sensor that is broken: the demo's handler rejects them."""


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    unit: str
    usual: float
    step: float


_KINDS = (_Kind("temperature", "°C", 20.0, 0.2), _Kind("humidity", "%", 50.0, 0.8))


@dataclass(frozen=True, slots=True)
class Reading:
    """One message to publish, and the queue that it belongs to."""

    queue: str
    topic: str
    payload: bytes


class Sensors:
    """A thermometer and a hygrometer in every room, read at random. Their topics begin with ``root``."""

    def __init__(self, root: str, rng: random.Random) -> None:
        self._root = root
        self._rng = rng
        self._count = 0
        self._values = {(room, kind): kind.usual for room in ROOMS for kind in _KINDS}

    @property
    def filters(self) -> tuple[str, ...]:
        """The topic filters that take all readings: one a kind of sensor."""
        return tuple(f"{self._root}/+/{kind.name}" for kind in _KINDS)

    def read(self, at: float) -> Reading:
        """The next reading, taken at ``at`` (Unix seconds)."""
        room, kind = sensor = self._rng.choice(tuple(self._values))
        drift = (kind.usual - self._values[sensor]) * 0.02
        self._values[sensor] += drift + self._rng.uniform(-kind.step, kind.step)
        self._count += 1
        broken = self._rng.random() < _BROKEN_SHARE
        body = {
            "number": self._count,
            "room": room,
            "sensor": kind.name,
            "value": None if broken else round(self._values[sensor], 1),
            "unit": kind.unit,
            "at": round(at, 3),
        }
        return Reading(
            queue=f"{self._root}/+/{kind.name}",
            topic=f"{self._root}/{room}/{kind.name}",
            payload=json.dumps(body, ensure_ascii=False).encode(),
        )
