"""What all requests share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmq.clock import Clock
from fmq_web.settings import WebSettings
from fmq_web.stores import Stores

if TYPE_CHECKING:
    from fmq_web.live.sampler import Sampler
    from fmq_web.operations.publisher import Publisher
    from fmq_web.operations.runner import Runner


@dataclass(frozen=True, slots=True)
class Site:
    """The parts that handlers use, each made once by fmq_web.assembly."""

    settings: WebSettings
    clock: Clock
    stores: Stores
    operations: "Runner"
    sampler: "Sampler"
    publisher: "Publisher | None" = None
    """None without a broker."""
