"""The settings of the handler ``file``."""

from pathlib import Path

from pydantic import field_validator

from fmq.settings import HandlerSettings, setting
from fmq_processor.handlers import placeholders

PLACEHOLDERS = ("queue", "topic")


def _fixed_folder(path: str) -> Path:
    """The folder of what stands before the first placeholder."""
    return Path(f"{placeholders.fixed_part(path)}x").absolute().parent


class FileSettings(HandlerSettings):
    """Where the lines go, and when a new file is begun."""

    file_path: str = setting(
        "",
        about="The file that lines are appended to. {queue} and {topic} stand for the message's, as safe file names.",
        right="a file in a folder that exists, such as /var/lib/fmq/{queue}.jsonl",
    )
    file_rotate_bytes: int = setting(
        0,
        about="The size at which a file is renamed and a new one begun; 0: never. A batch is never divided.",
        right="a number of bytes, 0 or more, such as 104857600",
        ge=0,
    )
    file_rotate_seconds: int = setting(
        0,
        about="The length of the periods, counted from midnight UTC, that each have a file of their own; 0: one for all time.",
        right="a number of seconds, 0 or more, such as 3600 for hours or 86400 for days",
        ge=0,
    )

    @field_validator("file_path")
    @classmethod
    def _is_a_file(cls, path: str) -> str:
        if not path:
            raise ValueError("no file is named")
        if "\0" in path:
            raise ValueError("no path has a NUL in it")
        placeholders.check(path, PLACEHOLDERS)
        # What is made of a placeholder may be made; but a fixed folder that is missing is a volume that is not mounted.
        folder = _fixed_folder(path)
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        if path.endswith("/") or (Path(path).exists() and not Path(path).is_file()):
            raise ValueError("it is no regular file")
        return path

    @property
    def fixed_folder(self) -> Path:
        """The innermost folder whose name has no placeholder; absolute."""
        return _fixed_folder(self.file_path)
