"""Several processes that store, claim, settle and requeue at once, and a record of who held what when."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple, TypeVar

from fmq.errors import StoreUnavailable
from fmq.message import Incoming, Terms
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.roles import Store

QUEUE = "stress/#"
_TOPICS = 40
_LEASE = 600.0
_DEADLINE = 100.0
_T = TypeVar("_T")


class Job(NamedTuple):
    """What one process does: it stores ``messages``, and works until all of ``total`` are done."""

    url: str
    seed: int
    messages: int
    total: int
    ordered: bool


class Held(NamedTuple):
    """A message that one process held, from the return of its claim to the call that settled it."""

    id: int
    topic: str
    since: float
    until: float


def overlaps(held: Sequence[Held], key: Callable[[Held], object]) -> int:
    """How often something was held that another process still held."""
    by_key: dict[object, list[Held]] = defaultdict(list)
    for one in held:
        by_key[key(one)].append(one)
    found = 0
    for group in by_key.values():
        group.sort(key=lambda one: one.since)
        end = float("-inf")
        for one in group:
            found += one.since < end
            end = max(end, one.until)
    return found


def run(url: str, *, processes: int, messages: int, ordered: bool) -> list[Held]:
    """Let ``processes`` store and handle ``messages`` together."""
    share = messages // processes
    jobs = [Job(url, seed, share, share * processes, ordered) for seed in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [one for held in pool.map(work, jobs) for one in held]


def work(job: Job) -> list[Held]:
    """One process."""
    rng = random.Random(job.seed)
    held: list[Held] = []
    end = time.monotonic() + _DEADLINE
    with again(lambda: open_store(job.url, StoreOptions(durability=Durability.NORMAL, busy_seconds=60))) as store:
        again(lambda: store.declare(QUEUE))
        left = job.messages
        while left or again(lambda: store.stats(QUEUE)).done < job.total:
            if time.monotonic() > end:
                raise TimeoutError(str(again(lambda: store.stats(QUEUE))))
            if left and rng.random() < 0.5:
                left -= _store(store, rng, min(left, rng.randint(1, 50)), f"{job.seed} {left}")
            held += _handle(store, rng, ordered=job.ordered)
            if rng.random() < 0.1:
                again(lambda: store.requeue_dead(QUEUE, limit=3))
    return held


def again(call: Callable[[], _T]) -> _T:
    """Repeat a call, as services do, until the store is available."""
    while True:
        try:
            return call()
        except StoreUnavailable:
            continue


def _store(store: Store, rng: random.Random, count: int, batch: str) -> int:
    messages = [Incoming(QUEUE, f"stress/{rng.randrange(_TOPICS)}", b"x", 1.0) for _ in range(count)]
    # The keys make it safe to repeat the call.
    terms = {position: Terms(key=f"{batch} {position}", key_seconds=_LEASE) for position in range(count)}
    again(lambda: store.put(messages, terms=terms))
    return count


def _handle(store: Store, rng: random.Random, *, ordered: bool) -> list[Held]:
    limit = rng.randint(1, 20)
    claims = again(lambda: store.claim(QUEUE, limit, lease=_LEASE, ordered=ordered))
    since = time.monotonic()  # one clock for all processes of this machine
    if not claims:
        again(lambda: store.requeue_dead(QUEUE))
        return []
    kinds: list[Settlement] = [Done(), RetryLater(0.0, "again"), Dead("no"), GiveBack()]
    outcomes = [rng.choices(kinds, [16, 2, 1, 1])[0] for _ in claims]
    if rng.random() < 0.2:
        again(lambda: store.extend(claims, lease=_LEASE))
    until = time.monotonic()
    settlements = list(zip(claims, outcomes, strict=True))
    stale = again(lambda: store.settle(settlements, worker="stress"))
    # Others may have taken what was given back by a call that had to be repeated.
    assert not [claim for claim, outcome in settlements if isinstance(outcome, Done) and claim in stale]
    return [Held(claim.message.id, claim.message.topic, since, until) for claim in claims]
