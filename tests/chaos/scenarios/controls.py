"""Control runs of what the checker itself must see: a wrong counter, a damaged file, a missing row."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import apsw

from chaos.checker import check_store
from chaos.scenario import Control, Scenario, Setting
from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.options import StoreOptions

_MESSAGES = 2_000
_TABLE_LEAF = 13


def _control(setting: Setting, *, name: str, spoil: Callable[[Path], None]) -> Control:
    path = setting.folder / f"{name.replace(' ', '-')}.db"
    with open_store(f"sqlite:///{path}", StoreOptions(check_integrity=False)) as queue:
        queue.declare("q")
        queue.put([Incoming("q", "t", b"%d." % number, 1.0) for number in range(_MESSAGES)])
    spoil(path)
    try:
        stored = check_store(path, _MESSAGES)
    except apsw.CorruptError as error:
        return Control(name, f"SQLite: {error}")
    return Control(name, "; ".join([*([f"{stored.lost} messages lost"] if stored.lost else []), *stored.faults]))


def _change(path: Path, statement: str) -> None:
    sql = apsw.Connection(str(path))
    sql.execute(statement)
    sql.close()


def _count_wrong(path: Path) -> None:
    _change(path, "UPDATE fmq_queue SET done = done + 1")


def _damage(path: Path) -> None:
    """Overwrite the beginning of the middle one of the pages with rows: their header (SQLite's file format, section 1.6)."""
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    leaves = [at for at in range(size, len(content), size) if content[at] == _TABLE_LEAF]
    middle = leaves[len(leaves) // 2]
    content[middle : middle + 512] = b"\xa5" * 512
    path.write_bytes(content)


def _delete(path: Path) -> None:
    _change(path, "DELETE FROM msg_q WHERE id = 1000")


def _swap(path: Path) -> None:
    _change(path, "UPDATE msg_q SET payload = CASE id WHEN 7 THEN '90.' ELSE '6.' END WHERE id IN (7, 91)")


SCENARIOS: Sequence[Scenario] = (
    partial(_control, name="a counter that is one too high", spoil=_count_wrong),
    partial(_control, name="a damaged page", spoil=_damage),
    partial(_control, name="a row that vanishes", spoil=_delete),
    partial(_control, name="two rows that change places", spoil=_swap),
)
