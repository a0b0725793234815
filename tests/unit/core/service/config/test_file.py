"""Reading of a configuration file: whatever it holds, an error says where it is wrong and what is expected."""

import errno
import os
from pathlib import Path

import pytest

from fmq.service.config.file import ConfigFile, ConfigFileError, as_given, read_config


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(content: str | bytes) -> ConfigFile:
    """The file ``fmq.toml`` with this content."""
    Path("fmq.toml").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_config(None, "FMQ_CONFIG")


def test_no_file() -> None:
    """A working directory without a file has no tables; one that is named has to exist."""
    assert read_config(None, "FMQ_CONFIG") == ConfigFile()
    assert read_config("", "FMQ_CONFIG").name == ""
    with pytest.raises(ConfigFileError, match=r"^FMQ_CONFIG='no.toml': can't be read \(No such file or directory\)"):
        read_config("no.toml", "FMQ_CONFIG")


@pytest.mark.parametrize(
    "content",
    [
        b'[broker]\nurl = "x"\n',
        b'\xef\xbb\xbf[broker]\nurl = "x"\n',
        b'[broker]\r\nurl = "x"\r\n',
        b'broker.url = "x"',
        b'broker = {url = "x"}',
    ],
)
def test_forms(content: bytes) -> None:
    """A byte order mark, Windows line ends, dotted keys and inline tables mean the same; the line is known."""
    file = written(content)
    assert file.value(("broker", "url")) == "x"
    assert file.where(("broker", "url")) in ("fmq.toml:1", "fmq.toml:2")
    assert file.value(("broker", "port")) is None
    assert file.value(("broker", "url", "deeper")) is None
    assert file.value(("route", 3, "x")) is None


def test_empty() -> None:
    """An empty file, and the null device, have no tables."""
    assert written("").tables == {}
    assert read_config(os.devnull, "FMQ_CONFIG").tables == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "[broker]\nurl =\n",
            'fmq.toml:2:6: expected text in quotes ("…"), a number, true, false, or a list in brackets',
        ),
        ("[broker]\nurl = mqtt://x\n", "fmq.toml:2:7: expected text in quotes"),
        ("url\n", "fmq.toml:1:4: expected = after the key"),
        ("[broker\n", "fmq.toml:1:8: Expected ']' at the end of a table declaration"),
        ("[a]\nx = 1\nx = 2\n", "fmq.toml:3:6: it has a value already: expected each key once"),
        ("[a]\n[a]\n", "fmq.toml:2:3: this table is there already: expected each table once"),
        ('x = ["a"\n\n', "fmq.toml:1: expected ] at the end of the list"),
        ('x = "a\n', "fmq.toml:1:7: "),
        ('x = "C:\\data"\n', "fmq.toml:1:10: expected \\\\ for a backslash, or text in single quotes"),
        ('x = "a" "b"\n', "fmq.toml:1:9: expected the end of the line after the value"),
        ("= 1\n", "fmq.toml:1:1: expected key = value, or the name of a table in brackets"),
        ("x = 1\n" * 3 + "\x00", "fmq.toml:2:6: "),
        ("x = " + "9" * 5000, "fmq.toml:1: a number has too many digits"),
        ("x = " + "[" * 5000, "fmq.toml: lists or tables are nested too deeply"),
        (".".join("a" * 500) + " = 1", "fmq.toml: lists or tables are nested too deeply"),
        (b"x = 1\ny = '\xe9'\n", "fmq.toml:2: it is not UTF-8 text; save it as UTF-8"),
        (b"\xff\xfex\x00", "fmq.toml:1: it is not UTF-8 text"),
        (b"#" * 10_000_000, "fmq.toml: it is larger than 1 MiB"),
    ],
)
def test_mistakes(content: str | bytes, told: str) -> None:
    """Each error names the file, the line and the column, and what is expected there."""
    with pytest.raises(ConfigFileError) as caught:
        written(content)
    assert str(caught.value).startswith(told)
    assert "(at " not in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    """Directories, pipes, unreadable and impossible paths are refused without a wait."""
    Path("fmq.toml").mkdir()
    with pytest.raises(ConfigFileError, match=r"fmq.toml: can't be read \(Is a directory\)"):
        read_config(None, "FMQ_CONFIG")
    os.mkfifo("pipe")
    with pytest.raises(ConfigFileError, match="--config='pipe': it is not a regular file"):
        read_config("pipe", "--config")
    with pytest.raises(ConfigFileError, match="can't be read"):
        read_config("a\0b", "--config")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigFileError, match="can't be read"):
        read_config("loop", "--config")
    Path("there").symlink_to("nowhere")
    Path("fmq.toml").rmdir()
    Path("fmq.toml").symlink_to("nowhere")
    with pytest.raises(ConfigFileError, match="can't be read"):
        read_config(None, "FMQ_CONFIG")


def test_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without the right to read it is an error, not as good as none. Root may read every file, hence the trick."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    Path("fmq.toml").touch()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigFileError, match="Permission denied"):
        read_config(None, "FMQ_CONFIG")


@pytest.mark.parametrize(
    ("toml", "given"),
    [
        ("true", "true"),
        ("30", "30"),
        ("0.5", "0.5"),
        ("nan", "nan"),
        ("-inf", "-inf"),
        ('"30s"', "30s"),
        ('["a,b", 1, true]', ("a,b", "1", "true")),
        ("[]", ()),
        ('{X = "ä"}', '{"X": "ä"}'),
        ("[[1]]", ("[1]",)),
        ("2026-01-02", "2026-01-02"),
        ("[2026-01-02]", ("2026-01-02",)),
        ("{a = 2026-01-02}", '{"a": "2026-01-02"}'),
    ],
)
def test_values(toml: str, given: object) -> None:
    """Values come as variables would give them, so that the same rules hold for both."""
    assert as_given(written(f"x = {toml}").value(("x",))) == given
