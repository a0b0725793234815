"""Runs a page as a reader does: pastes its commands line by line, saves its files, and compares what it shows.

A ``console`` block has commands after ``$`` and their output. In the output, ``…`` stands for anything within a line, and a line
of its own for any lines. A block without ``$`` shows what comes next in its terminal. Comments before a block say how it is run:

- ``<!-- terminal: NAME -->``: in which terminal; without it, the first one. ``<!-- terminal: NAME, keeps running -->``: its last
  command does not end.
- ``<!-- press Ctrl-C: NAME -->``: what runs there ends, with exit code 0 or as interrupted. Stands alone.
- ``<!-- file: NAME -->``: the block is saved as that file.
- ``<!-- exit: 1 -->``: the exit code of the block's last command.
- ``<!-- machine -->``: needs root and the network, and is run only on a new machine.
- ``<!-- install -->``: needs the network.
- ``<!-- not run -->``: shows what a reader might do.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.terminal import Terminal
from support.wait import wait_for

_STEP = re.compile(
    r"(?P<comments>(?:<!--[^\n]*-->\n)*)^```(?P<language>\w+)\n(?P<body>.*?)^```$"
    r"|^<!-- press Ctrl-C: (?P<stop>[\w ]+) -->$"
    r"|^#+ (?P<heading>[^\n]+)$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"<!-- ([\w ]+?)(?:: (.*?))? -->")
_DEADLINE = 60.0
_INTERRUPTED = 130  # what the shell says of a program that Ctrl-C has ended
_INSTALL_DEADLINE = 900.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the lines that it shows."""

    text: str
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What a reader does at one place of a page: saves a file, runs commands, looks at a terminal, or presses Ctrl-C."""

    line: int
    heading: str
    terminal: str = "first"
    commands: tuple[Command, ...] = ()
    shown: tuple[str, ...] = ()
    file: tuple[str, str] | None = None
    keeps_running: bool = False
    stops: bool = False
    of_machine: bool = False
    installs: bool = False
    exit_code: int = 0


def steps(page: Path) -> Iterator[Step]:
    """The steps of a page, in order. Raises ValueError for a block that it can't read."""
    text, heading = page.read_text(encoding="utf-8"), ""
    for match in _STEP.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["heading"]:
            heading = match["heading"]
        elif match["stop"]:
            yield Step(line, heading, terminal=match["stop"], stops=True)
        else:
            said = dict(_COMMENT.findall(match["comments"]))
            if "not run" in said:
                continue
            if "file" in said:
                before = text[: match.start()].rstrip().rpartition("\n\n")[2]
                if f"`{said['file']}`" not in before:
                    raise ValueError(f"line {line}: the text before it does not say to save it as {said['file']}")
                yield Step(line, heading, file=(said["file"], match["body"]))
            elif match["language"] == "console":
                yield _commands(match["body"], said, line, heading)
            elif match["language"] in ("sh", "bash"):
                raise ValueError(f"line {line}: commands stand in console blocks, after $")


def _commands(body: str, said: dict[str, str], line: int, heading: str) -> Step:
    name, _, how = said.get("terminal", "first").partition(", ")
    commands: list[Command] = []
    first, *parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
    for part in parts:
        lines = part.rstrip("\n").split("\n")
        end = 1
        while lines[end - 1].endswith("\\"):
            end += 1
        commands.append(Command("\n".join(lines[:end]), tuple(lines[end:])))
    return Step(
        line,
        heading,
        terminal=name,
        commands=tuple(commands),
        shown=tuple(first.rstrip("\n").split("\n")) if first.strip() else (),
        keeps_running=how == "keeps running",
        of_machine="machine" in said,
        installs="install" in said,
        exit_code=int(said.get("exit", "0")),
    )


def pattern(shown: tuple[str, ...]) -> str:
    """A regular expression for shown lines, each with its end."""
    parts = []
    for line in shown:
        if line.strip() == "…":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            words = re.sub(r"[ \t]+", " ", line).strip()
            parts.append(".*?".join(re.escape(part) for part in words.split("…")).replace(".*?", "[^\\n]*?") + r"\n")
    return "".join(parts)


@dataclass
class Walk:
    """Runs steps; ``took`` has the seconds of each heading afterwards.

    ``open_terminal`` makes a terminal, with the network or without. ``set_up_machine`` is called after the blocks that set up a
    new machine; without it, they are left out.
    """

    folder: Path
    open_terminal: Callable[[bool], Terminal]
    set_up_machine: Callable[[], None] | None = None
    took: dict[str, float] = field(default_factory=dict)
    _terminals: dict[str, Terminal] = field(default_factory=dict)

    def run(self, page: Path) -> None:
        """Run a page from its beginning to its end. AssertionError names the line that went otherwise."""
        try:
            for step in steps(page):
                begin = time.monotonic()
                try:
                    self._do(step)
                except AssertionError as error:
                    raise AssertionError(f"{page.name}, line {step.line}: {error}") from error
                self.took[step.heading] = self.took.get(step.heading, 0.0) + time.monotonic() - begin
        finally:
            for terminal in self._terminals.values():
                terminal.close()

    def _do(self, step: Step) -> None:
        if step.file:
            path = self.folder / step.file[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.file[1], encoding="utf-8")
        elif not step.of_machine or self.set_up_machine:
            terminal = self._terminal(step)
            if step.stops:
                terminal.interrupt()
                code = terminal.wait_for_prompt(_DEADLINE)
                output = terminal.take()
                assert code in (0, _INTERRUPTED), f"exit code {code}\n{output}"
            if step.shown:
                self._await(terminal, step.shown)
            for command in step.commands:
                last = command is step.commands[-1]
                terminal.type(command.text)
                if step.keeps_running and last:
                    self._await(terminal, command.shown)
                else:
                    self._finish(terminal, command, step, step.exit_code if last else 0)
            if step.of_machine and self.set_up_machine:
                self.set_up_machine()

    def _terminal(self, step: Step) -> Terminal:
        needs_network = step.of_machine or step.installs
        name = "with network" if needs_network else step.terminal
        if name not in self._terminals:
            self._terminals[name] = self.open_terminal(needs_network)
        return self._terminals[name]

    @staticmethod
    def _await(terminal: Terminal, shown: tuple[str, ...]) -> None:
        """Wait until a running command has shown these lines, which may come after others."""
        wanted = re.compile(r"(?:[^\n]*\n)*?" + pattern(shown))
        try:
            wait_for(lambda: wanted.match(terminal.output()), _DEADLINE, what="the shown lines")
        except AssertionError:
            raise AssertionError(_difference(shown, terminal.output())) from None
        match = wanted.match(terminal.output())
        terminal.take(match.end() if match else 0)

    @staticmethod
    def _finish(terminal: Terminal, command: Command, step: Step, exit_code: int) -> None:
        code = terminal.wait_for_prompt(_INSTALL_DEADLINE if step.installs or step.of_machine else _DEADLINE)
        output = terminal.take()
        assert code == exit_code, f"{command.text}: exit code {code}\n{output}"
        if command.shown and not re.fullmatch(pattern(command.shown), output):
            raise AssertionError(_difference(command.shown, output))


def _difference(shown: tuple[str, ...], output: str) -> str:
    return "\n".join(["the page shows", *shown, "and this came:", output])
