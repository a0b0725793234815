"""The instructions for a process of a chaos run, in addition to its settings: one JSON value in its environment."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from chaos.points import Point

VARIABLE = "CHAOS_PLAN"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one process differs from fmq as it is.

    ``point`` strikes it; ``power`` cuts its power (seed, after how many operations, where the disk's image goes);
    ``disk`` is a file whose text makes the disk fail; ``pages`` is the most that the database may have; ``clock`` is a file with seconds to add to the wall clock;
    ``struck`` is a file for the names of the store's calls that fail; ``journal`` is where claims are noted; ``broken`` names the way in which a control run is wrong on purpose.
    """

    point: Point | None = None
    power: tuple[int, int, str] | None = None
    disk: str | None = None
    pages: int | None = None
    clock: str | None = None
    struck: str | None = None
    journal: str | None = None
    broken: str | None = None

    def environ(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}


def read_plan() -> Plan:
    """This process's plan."""
    told: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
    if told.get("point"):
        told["point"] = Point(**told["point"])
    return Plan(**told)
