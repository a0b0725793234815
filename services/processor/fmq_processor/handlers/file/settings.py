"""The settings of the handler ``file``."""

from pathlib import Path

from pydantic import field_validator

from fmq.service.settings import HandlerSettings, setting
from fmq_processor.handlers import placeholders

PLACEHOLDERS = ("queue", "topic")


def _fixed_folder(path: str) -> Path:
    """The folder of what stands before the first placeholder."""
    return Path(f"{placeholders.fixed_part(path)}x").absolute().parent


class FileSettings(HandlerSettings):
    """Settings of the handler ``file``."""

    file_path: str = setting(
        "",
        about="File to append lines to. {queue} and {topic} are replaced by those of the message, as safe file names.",
        expected="a file in a folder that exists, such as /var/lib/fmq/{queue}.jsonl",
    )
    file_rotate_bytes: int = setting(
        0,
        about="Size in bytes at which a file is renamed and a new one started; 0: never. A batch is never split.",
        unit="bytes",
        expected="a size, 0 or more, such as 100MiB",
        ge=0,
    )
    file_rotate_seconds: int = setting(
        0,
        about="Length of the period of each file, counted from midnight UTC; 0: a single file.",
        unit="seconds",
        expected="a time, 0 or more, such as 1h for hours or 1d for days",
        ge=0,
    )

    @field_validator("file_path")
    @classmethod
    def _is_a_file(cls, path: str) -> str:
        if not path:
            raise ValueError("it is empty")
        if "\0" in path:
            raise ValueError("a path can't have a NUL character")
        placeholders.check(path, PLACEHOLDERS)
        # What is made of a placeholder may be made; but a fixed folder that is missing is a volume that is not mounted.
        folder = _fixed_folder(path)
        try:
            if not folder.is_dir():
                raise ValueError(f"the folder {folder} does not exist")
            if path.endswith("/") or (Path(path).exists() and not Path(path).is_file()):
                raise ValueError("it is not a regular file")
        except OSError as error:
            raise ValueError(f"it can't be reached: {error.strerror}") from error
        return path

    @property
    def fixed_folder(self) -> Path:
        """The innermost folder whose name has no placeholder; absolute."""
        return _fixed_folder(self.file_path)
