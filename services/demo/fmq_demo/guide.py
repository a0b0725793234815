"""Tells where everything is and what to look at next, in commands to copy. Pure but for where ``fmq`` is."""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fmq.service.broker.url import BrokerUrl
from fmq_demo.services import Services


@dataclass(frozen=True, slots=True)
class Places:
    """Where the demo keeps its things."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "queue.db"

    @property
    def queue_url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"


def whereabouts(broker: str, address: BrokerUrl, services: Services, places: Places, topics: Sequence[str]) -> str:
    """What runs and where it can be looked at while it does."""
    listener, *processors = (
        f"http://127.0.0.1:{port}/metrics" for _, port in (services.listener, *services.processors)
    )
    return "\n".join(
        (
            f"publisher -> {broker} at {address} -> listener -> SQLite -> {len(processors)} processors",
            f"  topics   {'  '.join(topics)}",
            f"  metrics  listener    {listener}",
            f"           processors  {'  '.join(processors)}",
            f"  data     {places.database}",
            f"  logs     {places.logs}",
            "While it runs:",
            f"  curl -s {listener} | grep ^fmq_",
            f"  tail -f {shlex.quote(str(places.logs))}/*.log",
            f"  {_fmq('status', places)}",
            "",
            f"Web page: {services.page}",
            f"Sign in as operator with the password {services.password} to repair things.",
            "",
        )
    )


def next_steps(places: Places, queue: str) -> str:
    """What is left to look at when it has ended; ``queue`` is the one to look into."""
    database = shlex.quote(str(places.database))
    queries = (
        "SELECT name, table_name, stored, pending, done, dead FROM fmq_queue",
        f"SELECT id, topic, retry_count, processed, payload FROM {_table(queue)} ORDER BY retry_count DESC LIMIT 5",  # noqa: S608 - to be read
    )
    return "\n".join(
        (
            "The data is kept; look at it with",
            f"  {_fmq('status', places)}",
            f"  {_fmq(f'dead list {shlex.quote(queue)}', places)}",
            *(f"  sqlite3 -readonly -header {database} {shlex.quote(query)}" for query in queries),
            "and remove it with",
            f"  rm -r {shlex.quote(str(places.folder))}",
            "",
        )
    )


def _table(queue: str) -> str:
    """The table of a queue whose name is simple (fmq_queue has the names of all)."""
    return "msg_" + re.sub(r"[^A-Za-z0-9_]", "_", queue)


def _fmq(command: str, places: Places) -> str:
    return f"FMQ_QUEUE_URL={shlex.quote(places.queue_url)} {_program()} {command}"


def _program() -> str:
    """``fmq`` as the user can call it from here."""
    ours = Path(sys.executable).with_name("fmq")
    found = shutil.which("fmq")
    if not ours.exists() or (found and Path(found).samefile(ours)):
        return "fmq"
    here = Path.cwd()
    return shlex.quote(str(ours.relative_to(here) if ours.is_relative_to(here) else ours))
