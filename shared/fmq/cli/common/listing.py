"""Pages of messages, newest or oldest first."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import click

from fmq.cli.common.numbers import Count
from fmq.message import MessageId
from fmq.store.roles import Operating
from fmq.store.selection import Selection
from fmq.store.steps import walk

Sort = Literal["newest", "oldest"]
_STEP = 500
_TOGETHER, _TOGETHER_BYTES = 50, 4 * 1024 * 1024
"""How many messages are read at once to be put in order, and how many bytes of them (or one larger one)."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Listed:
    """The ids of a page in their order, in parts that can be read at once; ``next`` is where the next page starts."""

    parts: Sequence[Sequence[MessageId]]
    next: str | None

    @property
    def ids(self) -> list[MessageId]:
        return [one for part in self.parts for one in part]


def listing_options(*, sort: Sort, limit: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--sort``, ``--limit`` and ``--after``, with these defaults."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--after", metavar="PLACE", help="Show the next page: the value that the last one ended with."
            ),
            click.option(
                "--limit",
                default=limit,
                show_default=True,
                type=Count(1),
                help="Maximum number of messages to show.",
            ),
            click.option(
                "--sort",
                default=sort,
                show_default=True,
                type=click.Choice(["newest", "oldest"]),
                help="Which messages come first.",
            ),
        ):
            function = option(function)
        return function

    return decorate


def list_page(store: Operating, name: str, which: Selection, *, sort: Sort, limit: int, after: str | None) -> Listed:
    """One page of the selection. Raises BadParameter for an ``after`` that does not belong to such a list."""
    try:
        return (_newest if sort == "newest" else _oldest)(store, name, which, limit, after)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{after!r} is not a place in a list with --sort {sort}: expected the value that the last page ended with",
            param_hint="--after",
        ) from error


def next_page(listed: Listed) -> str:
    """How to see the next page, for the last line of this one; empty if there is none."""
    return "" if listed.next is None else f". Next page: --after {listed.next}"


def in_order(listed: Listed, read: Callable[[Sequence[MessageId]], Iterable[tuple[MessageId, _T]]]) -> Iterator[_T]:
    """What ``read`` finds for the ids of the page, in its order. ``read`` gets ids in ascending order, and keeps it."""
    for part in listed.parts:
        ascending = sorted(part)
        if ascending == part:
            yield from (one for _, one in read(ascending))
        else:
            found = dict(read(ascending))
            yield from (found.pop(number) for number in part if number in found)


def _newest(store: Operating, name: str, which: Selection, limit: int, after: str | None) -> Listed:
    parts: list[list[MessageId]] = []
    left, size = limit, 0
    if after is not None and "," not in after:
        raise ValueError(after)
    while left:
        page = store.heads(name, which, before=after, limit=min(left, _STEP), head_bytes=0)
        left -= len(page.heads)
        for head in page.heads:
            size += head.size
            if not parts or len(parts[-1]) >= _TOGETHER or size > _TOGETHER_BYTES:
                parts.append([])
                size = head.size
            parts[-1].append(head.id)
        after = page.before
        if after is None:
            break
    return Listed(parts, after)


def _oldest(store: Operating, name: str, which: Selection, limit: int, after: str | None) -> Listed:
    ids: list[MessageId] = []
    start = None if after is None else int(after)
    for found in walk(store, name, which, limit=min(limit, _STEP), after_id=start):
        ids += found.ids
        if len(ids) >= limit:
            more = len(ids) > limit or found.after_id is not None
            return Listed([ids[:limit]], str(ids[limit - 1]) if more else None)
    return Listed([ids], None)
