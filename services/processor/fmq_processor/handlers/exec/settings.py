"""The settings of the handler ``exec``."""

import shlex
import shutil
from typing import Literal

from pydantic import field_validator

from fmq.service.settings import PREFIX, HandlerSettings, Names, setting


class ExecSettings(HandlerSettings):
    """Settings of the handler ``exec``."""

    exec_command: str = setting(
        "",
        about="Command to run for each message, with its arguments, quoted as in a shell. No shell is involved.",
        expected="a program that can be run, with its arguments, such as /opt/deliver --to 'the archive'",
    )
    exec_input: Literal["payload", "json"] = setting(
        "payload",
        about="Standard input of the command: the payload, or the message as JSON.",
        expected="payload or json",
    )
    exec_on_failure: Literal["retry", "dead"] = setting(
        "retry",
        about="Outcome of an exit code other than 0 (done), 75 (retry) and 69 (target unavailable).",
        expected="retry or dead",
    )
    exec_environment: Names = setting(
        ("PATH", "HOME", "LANG", "TZ"),
        about="Environment variables of the processor to pass on, separated by commas.",
        expected="names of variables other than fmq's own, such as PATH,HOME,PGHOST",
    )

    @field_validator("exec_command")
    @classmethod
    def _can_be_run(cls, command: str) -> str:
        words = shlex.split(command)
        if not words:
            raise ValueError("it is empty")
        if "\0" in command:
            raise ValueError("an argument has a NUL character")
        if shutil.which(words[0]) is None:
            raise ValueError(f"{words[0]!r} is not an executable program")
        return command

    @field_validator("exec_environment")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.startswith(PREFIX):  # passwords among them
                raise ValueError(f"{name} is a setting of fmq, which commands don't get")
            if "=" in name or "\0" in name:
                raise ValueError(f"{name!r} is not the name of a variable")
        return names

    @property
    def words(self) -> tuple[str, ...]:
        """The program's path and its arguments."""
        program, *arguments = shlex.split(self.exec_command)
        return (shutil.which(program) or program, *arguments)
