"""The checks of `fmq doctor` that need no service. A service adds its own by the entry-point group ``fmq.checks``."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import entry_points

from fmq import inventory
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import FmqError, SettingsError, StoreUnavailable
from fmq.finding import Finding, Level, ok, problem, warning
from fmq.message import QueueStats
from fmq.queue import Durability, diagnose, open_queue
from fmq.settings import StoreSettings, load

Check = Callable[[Mapping[str, str]], Iterable[Finding]]
"""Looks at something as the settings in an environment say."""

_NEEDED = ("sqlite", "folder", "files", "database", "integrity")
_UNHANDLED_SECONDS = 60.0
_BUILT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # before any release of fmq
_FUTURE_SECONDS = 5.0


def all_checks(*, thorough: bool) -> dict[str, Check]:
    """Every check that is installed, in the order in which to run them."""
    return {
        "settings": settings,
        "store": lambda environ: store(environ, thorough=thorough),
        "clock": clock,
        **{entry.name: entry.load() for entry in sorted(entry_points(group="fmq.checks"), key=lambda one: one.name)},
    }


def settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Wrong settings of what is installed, and variables that are none."""
    told: set[str] = set()
    models = inventory.in_use(environ)
    for name, model in models.items():
        wrong = inventory.check(model, environ)
        for line in (wrong or "").splitlines()[1:]:
            if line not in told:
                told.add(line)
                yield problem(
                    f"settings of {name}", line.strip(), "Correct it: no service starts with a wrong setting."
                )
    for stranger, meant in inventory.strangers(environ).items():
        hint = f": {meant} may be meant" if meant else ""
        yield warning("variables", f"{stranger} is no setting{hint}", "Rename or remove it: nothing reads it.")
    if not told:
        yield ok("settings", f"right, of {', '.join(models)}")


def store(environ: Mapping[str, str], *, thorough: bool, clock: Clock = SYSTEM_CLOCK) -> Iterator[Finding]:
    """The store as it lies there, whether it can be written, and how its queues stand."""
    chosen = load(StoreSettings, {}, environ)
    bad = False
    for finding in diagnose(chosen.queue_url, thorough=thorough):
        bad |= finding.about in _NEEDED and finding.level is Level.PROBLEM
        bad |= finding.about == "database" and finding.level is Level.WARNING  # none yet, or an older schema
        yield finding
    if bad:
        return  # opening it as a service does may change it, or fails with the same words
    with open_queue(chosen.queue_url, chosen.store_options(Durability.NORMAL), create=False) as queue:
        try:
            queue.probe()
        except StoreUnavailable as error:
            advice = "Who holds its write lock (fuser -v), or is the disk full? Intake stops until it can be written."
            yield problem("writing", str(error), advice)
        else:
            yield ok("writing", "a commit went through")
        found = [queue.stats(name) for name in queue.names()]
    if not found:
        yield warning(
            "queues", "there are none", "A listener makes a queue for each of its topic filters: has one run?"
        )
    for one in found:
        yield from _queue(one, clock.wall())


def _queue(one: QueueStats, now: float) -> Iterator[Finding]:
    about = f"queue {one.name}"
    text = f"{one.pending:,} pending, {one.claimed:,} claimed, {one.done:,} done, {one.dead:,} dead"
    age = now - one.oldest_pending_at if one.oldest_pending_at is not None else 0.0
    if one.paused is not None:
        advice = f"When its reason is gone: `fmq resume '{one.name}'`."
        yield warning(about, f"{text}; paused, and nothing is handed out: {one.paused.reason}", advice)
    elif one.pending and not one.claimed and age > _UNHANDLED_SECONDS:
        yield warning(
            about,
            f"{text}; the oldest waits for {age:,.0f} s, and no processor holds any",
            f"Does a processor run, and does its FMQ_TOPICS have {one.name}?",
        )
    elif one.dead:
        yield warning(about, text, f"Look at them with `fmq dead list '{one.name}'`, then requeue or purge them.")
    else:
        yield ok(about, text)
    if one.oldest_pending_at is not None and -age > _FUTURE_SECONDS:
        advice = "The clock was set back: ages are wrong until it has caught up. Leases and delays are not concerned."
        yield warning(about, f"a message was received {-age:,.0f} s in the future", advice)


def clock(_environ: Mapping[str, str], *, clock: Clock = SYSTEM_CLOCK) -> Iterator[Finding]:
    """Whether this machine knows the date."""
    now = datetime.fromtimestamp(clock.wall(), UTC)
    text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if clock.wall() < _BUILT:
        yield problem(
            "clock", f"{text}: it is not set", "Set it, or let NTP do it (timedatectl): received_at is wrong."
        )
    else:
        yield ok("clock", text)


def run(check: Check, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The findings of one check, to the point where an error of fmq's ends it."""
    try:
        yield from check(environ)
    except SettingsError:
        return  # the check of the settings has told
    except FmqError as error:
        yield problem("check", str(error), "The message says what.")
