"""Options that select messages, and loops over the selection in steps."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import click

from fmq.cli.common.auditing import audited
from fmq.cli.common.parameters import MOMENT
from fmq.cli.common.stopping import Stop
from fmq.cli.main import read_settings, settings_options
from fmq.message import DeadLetter, Message, MessageId
from fmq.service.settings import StoreSettings
from fmq.store.backends import open_store
from fmq.store.fingerprint import fingerprint
from fmq.store.options import Durability
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.steps import Pace, walk
from fmq.text import counted

_DONE = {"requeue": "Requeued", "purge": "Purged"}
_READ, _READ_BYTES = 100, 4 * 1024 * 1024
"""How many messages, and how many bytes of them, commands read at once."""

_GROUP = click.option(
    "--group",
    metavar="REASON",
    help="Only the group of this reason, as `fmq dead summary` prints it or as any of its dead letters has it.",
)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
store_options: Decorator = settings_options(StoreSettings, but=("check_integrity", "synchronous"))


def open_chosen_store(flags: dict[str, object]) -> Store:
    """Open the store of a command's flags and environment. Raises SettingsError, StoreRefused, StoreUnavailable."""
    settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
    return open_store(settings.queue_url, settings.store_options(Durability.NORMAL), create=False)


def selection_options(state: State) -> Decorator:
    """``--topic``, ``--reason``, ``--since``, ``--until``, and for dead letters ``--group``.

    The command gets one Selection, ``which``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_selection(
            *arguments: object,
            topic: str | None,
            reason: str | None,
            since: float | None,
            until: float | None,
            group: str | None = None,
            **options: object,
        ) -> object:
            try:
                same = None if group is None else fingerprint(group)
                which = Selection(state, topic, reason, since, until, same)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="--topic") from error
            return function(*arguments, which=which, **options)

        wrapped: Callable[..., Any] = with_selection
        for option in (
            click.option("--until", type=MOMENT, help="Only messages before then."),
            click.option(
                "--since", type=MOMENT, help="Only messages since then: 2h (ago), 2026-11-24, 2026-11-24T08:30Z."
            ),
            click.option("--reason", help="Only messages with this text in their reason."),
            click.option("--topic", metavar="FILTER", help="Only messages whose topic matches this topic filter."),
        ):
            wrapped = option(wrapped)
        return _GROUP(wrapped) if state is State.DEAD else wrapped

    return decorate


def read_messages(store: Store, name: str, ids: Sequence[int]) -> Iterator[Message]:
    """The messages with these ids that exist. Holds a few at once, or one large one."""
    for start in range(0, len(ids), _READ):
        left = list(ids[start : start + _READ])
        while left:
            found = store.messages(name, left, most_bytes=_READ_BYTES)
            left = left[left.index(found[-1].id) + 1 :] if found else []
            yield from found
            del found  # release it before reading more


def read_letters(
    store: Store, name: str, ids: Sequence[int] | None, *, limit: int, after_id: MessageId | None = None
) -> Iterator[DeadLetter]:
    """Up to ``limit`` dead letters (``ids``, or all) after the message ``after_id``, in the same way."""
    while limit > 0:
        found = store.dead_letters(name, ids, limit=min(limit, _READ), after_id=after_id, most_bytes=_READ_BYTES)
        if not found:
            return
        limit -= len(found)
        after_id = found[-1].message.id
        yield from found
        del found


def change(
    store: Store,
    name: str,
    which: Selection,
    by: Callable[[str, Sequence[int]], int],
    *,
    kind: str,
    pace: Pace | None = None,
    stop: Stop | None = None,
    on_step: Callable[[int], object] = lambda _count: None,
) -> int:
    """Apply ``by`` to the selection, step by step. Returns the number of changed messages.

    ``kind`` names the action in the store's audit. ``on_step`` receives the number of messages that each step looked at.
    Raises Stopped.
    """
    pace = pace or Pace(None)
    with audited(store, kind, name, str(which)) as progress:
        if stop is not None:
            stop.report = lambda: (
                f"{_DONE.get(kind, kind)} {counted(progress.changed, 'message')} of {name} until then. Run the same command again for the rest"
            )
        for found in walk(store, name, which, limit=pace.step):
            if stop is not None:
                stop.check()
            count = by(name, found.ids) if found.ids else 0
            progress.add(count)
            on_step(found.looked_at)
            pace.after(count)
    return progress.changed


def count(store: Store, name: str, which: Selection) -> int:
    """The number of selected messages."""
    return sum(len(found.ids) for found in walk(store, name, which))
