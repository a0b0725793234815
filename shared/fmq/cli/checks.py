"""The checks of `fmq doctor` that need no service. Services add theirs by the entry-point group ``fmq.checks``."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import entry_points

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import FmqError, SettingsError, StoreUnavailable
from fmq.finding import Finding, Level, ok, problem, warning
from fmq.message import QueueStats
from fmq.service import inventory
from fmq.service.environment import Reading, load
from fmq.service.settings import StoreSettings
from fmq.store.backends import backend_of, open_store
from fmq.store.moving.mover import on_its_way
from fmq.store.options import Durability

Check = Callable[[Mapping[str, str]], Iterable[Finding]]
"""Examines something with the settings of an environment."""

_NEEDED = ("sqlite", "server", "folder", "files", "database", "integrity")
_UNHANDLED_SECONDS = 60.0
_BUILT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # before any release of fmq
_FUTURE_SECONDS = 5.0


def all_checks(*, thorough: bool) -> dict[str, Check]:
    """All installed checks, in the order in which to run them."""
    return {
        "settings": settings,
        "store": lambda environ: store(environ, thorough=thorough),
        "clock": clock,
        **{entry.name: entry.load() for entry in sorted(entry_points(group="fmq.checks"), key=lambda one: one.name)},
    }


def settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Invalid settings of everything that is installed, and unknown variables and keys. The check of the handler loads handlers."""
    reported: set[str] = set()
    models = inventory.services()
    for name, model in models.items():
        for line in (inventory.check(model, environ) or "").splitlines()[1:]:
            if line not in reported:
                reported.add(line)
                advice = "Correct it. Services do not start with invalid settings."
                yield problem(f"settings of {name}", line.strip(), advice)
    reading = Reading({}, environ)
    for line in reading.remarks():
        yield warning("configuration file", line, "See docs/configuration.md.")
    if not reported:
        read = f", read from {reading.file.name}" if reading.file.name else ""
        yield ok("settings", f"valid, for {', '.join(models)}{read}")


def store(environ: Mapping[str, str], *, thorough: bool, clock: Clock = SYSTEM_CLOCK) -> Iterator[Finding]:
    """The store, whether it can be written, and the state of its queues."""
    chosen = load(StoreSettings, {}, environ)
    bad = False
    options = chosen.store_options(Durability.FULL)
    for finding in backend_of(chosen.queue_url).diagnose(chosen.queue_url, options, thorough=thorough):
        bad |= finding.about in _NEEDED and finding.level is Level.PROBLEM
        bad |= finding.about == "database" and finding.level is Level.WARNING  # none yet, or an older schema
        yield finding
    if bad:
        return  # opening it as a service does may change it, or fails with the same message
    # Whatever the settings say: a durable commit may wait for a standby that is not there.
    with open_store(chosen.queue_url, replace(options, durability=Durability.NORMAL), create=False) as store:
        try:
            store.probe()
        except StoreUnavailable as error:
            advice = "See who holds its write lock (fuser -v), and whether the disk is full. Intake stops until it can be written."
            yield problem("writing", str(error), advice)
        else:
            yield ok("writing", "a test commit succeeded")
        found = store.all_stats()
        moving = on_its_way(store)
    if moving:
        advice = "Run the same fmq migrate again: it delivers them. If its target is lost: fmq migrate --from … --lost"
        yield warning("migration", f"{moving:,} messages are on their way to another store", advice)
    if not found:
        yield warning("queues", "none yet", "A listener creates a queue for each of its topic filters. Has one run?")
    for one in found:
        yield from _queue(one, clock.wall())


def _queue(one: QueueStats, now: float) -> Iterator[Finding]:
    about = f"queue {one.name}"
    text = f"{one.pending:,} pending, {one.claimed:,} claimed, {one.done:,} done, {one.dead:,} dead"
    age = now - one.oldest_pending_at if one.oldest_pending_at is not None else 0.0
    if one.paused is not None:
        advice = f"Once the reason is gone, run `fmq resume '{one.name}'`."
        yield warning(about, f"{text}; paused, so nothing is delivered: {one.paused.reason}", advice)
    elif one.pending and not one.claimed and age > _UNHANDLED_SECONDS:
        yield warning(
            about,
            f"{text}; the oldest has waited {age:,.0f} s and no processor holds a message",
            f"Is a processor running, and does its FMQ_TOPICS include {one.name}?",
        )
    elif one.dead:
        yield warning(about, text, f"List them with `fmq dead list '{one.name}'`, then requeue or purge them.")
    else:
        yield ok(about, text)
    if one.oldest_pending_at is not None and -age > _FUTURE_SECONDS:
        advice = "The clock was set back. Ages are wrong until it has caught up; leases and delays are not affected."
        yield warning(about, f"a message has a date {-age:,.0f} s in the future", advice)


def clock(_environ: Mapping[str, str], *, clock: Clock = SYSTEM_CLOCK) -> Iterator[Finding]:
    """Whether the clock of this machine is set."""
    now = datetime.fromtimestamp(clock.wall(), UTC)
    text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if clock.wall() < _BUILT:
        yield problem(
            "clock",
            f"{text}: the clock is not set",
            "Set it, or use NTP (timedatectl). Otherwise received_at is wrong.",
        )
    else:
        yield ok("clock", text)


def run(check: Check, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The findings of one check. An error of fmq becomes a finding and ends the check."""
    try:
        yield from check(environ)
    except SettingsError as error:
        if "\n" not in str(error) and not any(one.level is Level.PROBLEM for one in settings(environ)):
            # Not about a value, but about what it names, such as a certificate. The check of the settings opens no files.
            yield problem("settings", str(error), "Correct it. Services do not start with it.")
    except FmqError as error:
        yield problem("check", str(error), "See the message.")
