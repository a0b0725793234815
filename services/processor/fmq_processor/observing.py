"""How long calls took, and how long their messages waited for them."""

import time
from collections import defaultdict
from collections.abc import Sequence

from fmq.clock import Clock
from fmq.metrics import ProcessorMetrics, observe_many
from fmq_processor.job import Finished


def observe(ended: Sequence[Finished], metrics: ProcessorMetrics, clock: Clock) -> None:
    """Add calls that have ended to the histograms."""
    to_wall = clock.wall() - time.perf_counter()
    handled: dict[str, list[float]] = defaultdict(list)
    waited: dict[str, list[float]] = defaultdict(list)
    for job, _, began, end in ended:
        queue = job.claims[0].message.queue
        handled[queue].append(end - began)
        began_at = began + to_wall
        for claim in job.claims:
            if not claim.message.retry_count:
                waited[queue].append(max(0.0, began_at - claim.message.received_at))
    for queue, seconds in handled.items():
        observe_many(metrics.handle_seconds.labels(queue), seconds)
    for queue, seconds in waited.items():
        observe_many(metrics.wait_seconds.labels(queue), seconds)
