"""The settings of the handler ``exec``."""

import shlex
import shutil
from typing import Literal

from pydantic import field_validator

from fmq.settings import PREFIX, HandlerSettings, Names, setting


class ExecSettings(HandlerSettings):
    """Which command, what it gets, and what its failure means."""

    exec_command: str = setting(
        "",
        about="The command that each message is given to, with its arguments; quoted as in a shell, but no shell runs it.",
        right="a program that can be run, with its arguments, such as /opt/deliver --to 'the archive'",
    )
    exec_input: Literal["payload", "json"] = setting(
        "payload", about="What it gets on standard input: the payload, or the message as JSON.", right="payload or json"
    )
    exec_on_failure: Literal["retry", "dead"] = setting(
        "retry",
        about="What follows from an exit code other than 0 (done), 75 (retry) and 69 (what it needs is unavailable).",
        right="retry or dead",
    )
    exec_environment: Names = setting(
        ("PATH", "HOME", "LANG", "TZ"),
        about="The processor's environment variables that it gets too, with commas between; no others.",
        right="names of variables other than fmq's own, such as PATH,HOME,PGHOST",
    )

    @field_validator("exec_command")
    @classmethod
    def _can_be_run(cls, command: str) -> str:
        words = shlex.split(command)
        if not words:
            raise ValueError("no command is given")
        if "\0" in command:
            raise ValueError("no argument has a NUL in it")
        if shutil.which(words[0]) is None:
            raise ValueError(f"there is no program {words[0]!r} that can be run")
        return command

    @field_validator("exec_environment")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.startswith(PREFIX):  # passwords among them
                raise ValueError(f"{name} is for fmq: commands don't get it")
            if "=" in name or "\0" in name:
                raise ValueError(f"{name!r} is no name of a variable")
        return names

    @property
    def words(self) -> tuple[str, ...]:
        """The program's path and its arguments."""
        program, *arguments = shlex.split(self.exec_command)
        return (shutil.which(program) or program, *arguments)
