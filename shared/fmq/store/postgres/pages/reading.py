"""Reads messages for people: newest first, only the heads of payloads, in bounded steps."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

from fmq.outcome import REASON_LIMIT
from fmq.store.paging import MOST_GROUPS, SHORT_REASON, add_to, place_after, place_of
from fmq.store.postgres.choosing import ALL, THESE, WALKED, fitting
from fmq.store.postgres.part import Part
from fmq.store.properties import first_properties, readable_properties
from fmq.store.records import Attempt, Detail, Group, Groups, Head, Page
from fmq.store.selection import Selection, State

_AT_ONCE = 100
_Walked = Sequence[tuple[int, float]]
_SEARCHED_AT_ONCE_BYTES = 4 * 1024 * 1024
_MOST_SECONDS = 0.25
"""The longest duration of a step, by the real clock: somebody waits for its page."""
_WALK = "SELECT id, id::float8 AS place FROM {table} WHERE id < %(before)s ORDER BY id DESC LIMIT %(within)s"
_WALK_DEAD = "SELECT id, at FROM fmq_dead_{q} WHERE (at, id) < (%(at)s::float8, %(before)s) ORDER BY at DESC, id DESC LIMIT %(within)s"
_HEADS = f"""
    SELECT message.id, message.topic, done.at, dead.at, due.token,
        CASE WHEN due.parked IS NOT NULL THEN {{now}} WHEN due.token IS NULL THEN due.due_at ELSE due.leased END - {{now}},
        substring(message.payload FROM 1 FOR %(head_bytes)s::integer), octet_length(message.payload), message.received_at,
        message.qos, message.retain, coalesce(due.failed, done.failed, dead.failed, 0),
        left(coalesce(due.reason, dead.reason, ''), {REASON_LIMIT})
    FROM {ALL} WHERE {THESE}
"""
_DETAIL = (
    "SELECT CASE WHEN %(most)s::integer IS NULL THEN properties ELSE left(properties, %(most)s::integer) END, "
    "coalesce(length(properties) > %(most)s::integer, false) FROM fmq_msg_{q} WHERE id = %(id)s"
)
_ATTEMPTS = "SELECT number, at, cause, reason, worker FROM fmq_attempt_{q} WHERE id = %(id)s ORDER BY number"
_PAYLOAD = (
    "SELECT substring(payload FROM %(offset)s::integer + 1 FOR %(length)s::integer) FROM fmq_msg_{q} WHERE id = %(id)s"
)
_REASONS = f"SELECT id, left(reason, {SHORT_REASON}) FROM fmq_dead_{{q}} AS message WHERE {THESE}"
_WITH_TEXT = (
    "SELECT id FROM fmq_msg_{q} AS message "
    f"WHERE {THESE} AND (strpos(topic, %(text)s::text) > 0 OR position(%(bytes)b::bytea IN payload) > 0)"
)
_END_OF_INTEGERS = 2**31 - 2


class ReadingPart(Part):
    """The reading half of the role Operating."""

    def heads(
        self,
        name: str,
        which: Selection,
        *,
        text: str | None = None,
        before: str | None = None,
        limit: int = 50,
        within: int = 10_000,
        head_bytes: int = 200,
    ) -> Page:
        end = monotonic() + _MOST_SECONDS
        found: list[int] = []
        looked_at, place = 0, None
        for some, is_end in self._walk(name, which.state, before, within):
            selected = fitting(self._queues, name, which, [number for number, _ in some])
            for part in [some] if text is None else _parts(some, selected):
                fit: Collection[int] = selected
                if text is not None:
                    fit = self._with_text(name, [number for number, _ in part if number in selected], text)
                for one in part:
                    looked_at += 1
                    place = None if is_end and one == some[-1] else place_after(one)
                    if one[0] in fit:
                        found.append(one[0])
                    if len(found) == limit:
                        break
                if len(found) == limit or monotonic() > end:
                    break
            if len(found) == limit or monotonic() > end:
                break
        return Page(self._heads(name, found, head_bytes), looked_at, place)

    def detail(
        self, name: str, message_id: int, *, head_bytes: int = 200, property_bytes: int | None = None
    ) -> Detail | None:
        heads = self._heads(name, [message_id], head_bytes)
        properties = self._queues.rows(_DETAIL, name, {"id": message_id, "most": property_bytes})
        if not heads or not properties:
            return None
        attempts = [Attempt(*row) for row in self._queues.rows(_ATTEMPTS, name, {"id": message_id})]
        text, has_more = properties[0]
        return Detail(heads[0], first_properties(text) if has_more else readable_properties(text), attempts, has_more)

    def payload(self, name: str, message_id: int, offset: int, length: int) -> bytes | None:
        values = {
            "id": message_id,
            "offset": min(offset, _END_OF_INTEGERS),
            "length": min(length, _END_OF_INTEGERS - min(offset, _END_OF_INTEGERS)),
        }
        rows = self._queues.rows(_PAYLOAD, name, values)
        return bytes(rows[0][0]) if rows else None

    def dead_groups(self, name: str, *, before: str | None = None, within: int = 10_000) -> Groups:
        end = monotonic() + _MOST_SECONDS
        groups: dict[str, Group] = {}
        looked_at, place = 0, None
        shift = self._session.moment().shift
        for some, is_end in self._walk(name, State.DEAD, before, within):
            looked_at += len(some)
            reasons: Mapping[int, str] = dict(
                self._queues.rows(_REASONS, name, {"ids": [number for number, _ in some]})
            )
            for number, at in some:
                add_to(groups, reasons.get(number, ""), at + shift)
            place = None if is_end else place_after(some[-1])
            if monotonic() > end or len(groups) >= MOST_GROUPS:
                break
        return Groups(sorted(groups.values(), key=lambda one: -one.count), looked_at, place)

    def _walk(self, name: str, state: State, before: str | None, within: int) -> Iterator[tuple[_Walked, bool]]:
        """Id and position of the next messages, piece by piece, and whether it is the last piece of all.

        Each piece is read only when it is needed. Raises ValueError for a ``before`` that no step returned.
        """
        at, number = place_of(before)
        walk = _WALK_DEAD if state is State.DEAD else _WALK.replace("{table}", WALKED[state])
        is_end = False
        while within > 0 and not is_end:
            size = min(within, _AT_ONCE)
            # One more shows whether this is the end.
            rows = self._queues.rows(walk, name, {"at": at, "before": number, "within": size + 1})
            some, is_end = [(row[0], row[1]) for row in rows[:size]], len(rows) <= size
            if some:
                yield some, is_end
                number, at = some[-1]
            within -= size

    def _heads(self, name: str, ids: Sequence[int], head_bytes: int) -> list[Head]:
        if not ids:
            return []
        shift = self._session.moment().shift
        heads: dict[int, Head] = {}
        for row in self._queues.rows(_HEADS, name, {"ids": list(ids), "head_bytes": head_bytes}):
            number, topic, done_at, dead_at, token, due_in, payload, size, received_at, qos, retain, failed, reason = (
                row
            )
            state, times = _where(done_at, dead_at, token, due_in, shift)
            heads[number] = Head(
                id=number,
                queue=name,
                topic=topic,
                state=state,
                payload=payload,
                size=size,
                received_at=received_at,
                qos=qos,
                retain=retain,
                retry_count=failed,
                reason=reason,
                **times,
            )
        return [heads[number] for number in ids if number in heads]

    def _with_text(self, name: str, ids: Sequence[int], text: str) -> Collection[int]:
        values = {"ids": list(ids), "text": text.replace("\0", ""), "bytes": text.encode(errors="surrogatepass")}
        return {row[0] for row in self._queues.rows(_WITH_TEXT, name, values)} if ids else set()


def _parts(some: _Walked, sizes: Mapping[int, int]) -> Iterator[_Walked]:
    """The messages in parts that one look reads."""
    part: list[tuple[int, float]] = []
    size = 0
    for one in some:
        part.append(one)
        size += sizes.get(one[0], 0)
        if size > _SEARCHED_AT_ONCE_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _where(
    done_at: float | None, dead_at: float | None, token: int | None, due_in: float | None, shift: float
) -> tuple[State, dict[str, Any]]:
    """The state of a message and its times."""
    if dead_at is not None:
        return State.DEAD, {"settled_at": dead_at + shift}
    if done_at is not None:
        return State.DONE, {"settled_at": done_at + shift}
    if token is not None:
        return State.CLAIMED, {"lease": due_in}
    if due_in is not None and due_in > 0:
        return State.DELAYED, {"due_in": due_in}
    return State.PENDING, {}
