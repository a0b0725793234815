"""The store's files are replaced under every process: it says so within a second, exits 3, and acknowledges nothing more."""

import os
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chaos.acknowledged import Acknowledged
from chaos.checker import check_file, numbers
from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, quiet, topics
from chaos.scenario import Control, Result, Scenario, Setting
from fmq.store.backends import backend_of
from support.processes import FmqProcess
from support.proxy import Proxy
from support.wait import wait_for

_CHUNK = 500
_WITHIN = 1.0
_NOTICED = "was replaced, removed or renamed"
_EXIT_CODE = 3
_UNDER = ("listener", "processor", "both")
_BROKEN = "never looks whether its files are there"
_PATIENCE = 3.0
_TICK = 0.02
_DEADLINE = 60.0


def _files(database: Path) -> list[Path]:
    return [path for ending in ("", "-wal", "-shm") if (path := Path(f"{database}{ending}")).exists()]


def _rename(database: Path, aside: Path) -> None:
    """The folder's files are moved away, and a backup is moved into their place: mv."""
    for path in _files(database):
        path.rename(aside / path.name)
    (aside / "backup.db").rename(database)


def _copy(database: Path, aside: Path) -> None:
    """A backup is copied next to the file, and takes its name: cp, then mv; so do rsync and most editors."""
    new = database.with_name("new.db")
    shutil.copy(aside / "backup.db", new)
    for path in _files(database)[1:]:
        path.rename(aside / path.name)
    os.link(database, aside / database.name)
    new.replace(database)


def _remove(database: Path, aside: Path) -> None:
    """All files are removed: rm. (What they held is kept here, to count.)"""
    for path in _files(database):
        os.link(path, aside / path.name)
        path.unlink()


_WAYS: Mapping[str, Callable[[Path, Path], None]] = {
    "rename": _rename,
    "copy": _copy,
    "removal": _remove,
}


def _replaced(setting: Setting) -> Result:
    """What was acknowledged before is in the old file or the new one; what comes after, in the new one."""
    result = Result("files replaced under listener, processor and both", what="replacements", within=_WITHIN)
    rng = setting.rng(result.scenario)
    ways = [(way, under) for under in _UNDER for way in _WAYS]
    if setting.scale < 1:
        ways = rng.sample(ways, max(3, round(len(ways) * setting.scale)))
    for number, (way, under) in enumerate(ways):
        _replace(result, setting.folder / str(number), way, under, rng)
    result.runs = len(ways)
    result.notes.append(f"{', '.join(_WAYS)}; here, recovered in is the time until every process said so")
    return result


def _replace(
    result: Result, folder: Path, way: str, under: str, rng: random.Random, *, broken: str | None = None
) -> None:
    seen = Acknowledged()
    with Rig(folder) as rig, Proxy(rig.broker.port, seen) as proxy:
        rig.url = proxy.url
        aside = rig.folder / "aside"
        aside.mkdir()
        plan = Plan(journal=str(rig.journal))
        listener = rig.listener(Plan(broken=broken))
        listener.wait_to_say(SUBSCRIBED, _DEADLINE)
        with Publisher(rig.broker.port, topics(), count=2 * _CHUNK, allowed=_CHUNK) as publisher:
            wait_for(lambda: len(seen.numbers) >= _CHUNK, _DEADLINE, what="the first messages")
            backend_of(f"sqlite:///{rig.database}").back_up(
                f"sqlite:///{rig.database}", str(aside / "backup.db"), on_progress=lambda _done, _pages: None
            )
            processes = [] if under == "processor" else [listener]
            if under == "processor":
                assert listener.terminate() == 0
            if under != "listener":
                processor = rig.processor(plan)
                processor.wait_to_say("Starting processor", _DEADLINE)
                processes.append(processor)
                if rng.random() < 0.5:
                    wait_for(lambda: not rig.unhandled(), _DEADLINE, what="an idle processor")
            before = len(_settled(seen))
            _WAYS[way](rig.database, aside)
            publisher.allowed = 2 * _CHUNK
            _await_notices(result, processes, f"{way} under {under}")
            if late := len(seen.numbers) - before:
                result.faults.append(f"{way} under {under}: {late} messages were acknowledged into files that are gone")
            publisher.finish(_DEADLINE)
            if broken:
                return  # what was acknowledged never comes again
            last = [rig.listener(), rig.processor(plan)]
            last[0].wait_to_say(SUBSCRIBED, _DEADLINE)
            owed = set(range(_CHUNK, 2 * _CHUNK))
            wait_for(lambda: owed <= numbers(rig.database), _DEADLINE, what="the new messages")
            rig.await_handled(_DEADLINE)
        for process in last:
            if (code := process.terminate()) != 0:
                result.faults.append(f"{way} under {under}: exit code {code} at the end: {process.text[-400:]}")
        result.faults += [f"the proxy failed: {error!r}" for error in proxy.errors]
        result.faults += check_file(rig.database)
        there = numbers(rig.database) | numbers(aside / rig.database.name)
        result.lost += len(set(range(2 * _CHUNK)) - there)
        result.messages += 2 * _CHUNK


def _settled(seen: Acknowledged) -> set[int]:
    """What is acknowledged, once nothing more is on its way."""
    quiet(lambda: len(seen.numbers), 0.2, _DEADLINE)
    return set(seen.numbers)


def _await_notices(result: Result, processes: Sequence[FmqProcess], where: str) -> None:
    began = time.monotonic()
    while any(_NOTICED not in one.text and one.running for one in processes) and time.monotonic() - began < _PATIENCE:
        time.sleep(_TICK)
    result.recovered(time.monotonic() - began)
    for process in processes:
        if process.running and _NOTICED not in process.text:
            process.kill()
        code = process.wait(_DEADLINE)
        if code != _EXIT_CODE or _NOTICED not in process.text or "Traceback" in process.text:
            result.faults.append(f"{where}: exit code {code}: {process.text[-600:]}")


def _control(setting: Setting) -> Control:
    seen = Result("control", within=_PATIENCE + 1)
    _replace(seen, setting.folder, "rename", "listener", setting.rng("control"), broken=_BROKEN)
    return Control(f"a listener that {_BROKEN}", "; ".join(one for one in seen.faults if "were acknowledged" in one))


SCENARIOS: Sequence[Scenario] = (_replaced, _control)
