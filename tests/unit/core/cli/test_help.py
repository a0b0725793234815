"""What the commands print about themselves."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fmq.cli.help import heading_of
from fmq.cli.main import fmq_command
from fmq.service import inventory

_GROUPS = ("Run", "Look", "Repair", "Move", "Set up")


def _help(*words: str, width: int = 80, **environ: str) -> str:
    result = CliRunner(env={"FMQ_HANDLER": "", **environ}).invoke(
        fmq_command, [*words, "--help"], terminal_width=width, max_content_width=width
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_commands_stand_in_groups_with_one_line_each() -> None:
    """Each installed command is in a named group, and its line fits into 80 columns without a cut."""
    text = _help()
    found = re.findall(r"^(\w[\w ]*):\n((?:  .*\n)+)", text, re.MULTILINE)
    sections = {title: body.splitlines() for title, body in found}
    assert tuple(sections) == ("Options", *_GROUPS)
    lines = [line for title in _GROUPS for line in sections[title]]
    context = click.Context(fmq_command)
    assert {line.split()[0] for line in lines} == set(fmq_command.list_commands(context))
    assert not [line for line in lines if "..." in line or not line.endswith(".") or len(line) > 80]


def test_without_arguments_the_help_is_shown() -> None:
    """On standard error with exit code 2, since a script that runs `fmq` alone has a mistake."""
    result = CliRunner().invoke(fmq_command, [])
    assert result.exit_code == 2
    assert "Set up:" in result.stderr


def test_each_setting_of_a_service_has_a_heading() -> None:
    """So the help of a service is in groups."""
    missing = [
        f"{service}: {name}"
        for service, model in inventory.services().items()
        for name in model.model_fields
        if heading_of(model, name) == "Options"
    ]
    assert not missing


def test_options_show_their_variable_and_default() -> None:
    """Numbers, switches and choices alike; what is needed is marked."""
    text = " ".join(_help("process", "--handler", "webhook", width=140).split())
    assert "--batch INTEGER Maximum number of messages to claim at once" in text
    assert "[FMQ_BATCH; default: 10]" in text
    assert "[FMQ_ORDERED; default: false]" in text
    assert "--synchronous FULL|NORMAL" in text
    assert "[FMQ_WEBHOOK_URL; required]" in text


def test_secrets_are_named_with_how_to_give_them() -> None:
    """They have no flag; the help says what they have instead."""
    text = " ".join(_help("listen").split())
    assert "FMQ_BROKER_PASSWORD Password at the broker." in text
    assert "or FMQ_BROKER_PASSWORD_FILE to the path of a file" in text
    assert "--broker-password" not in text


@pytest.mark.parametrize(
    ("words", "environ", "shown", "hidden"),
    [
        (["--handler", "file"], {}, "--file-path", "--webhook-url"),
        (["--handler=webhook"], {}, "--webhook-url", "--file-path"),
        ([], {"FMQ_HANDLER": "file"}, "--file-path", "--webhook-url"),
        ([], {}, "Handlers with options: exec, file, mqtt,", "--file-path"),
        (["--handler", "nonsense"], {}, "Its settings are unknown", "--file-path"),
    ],
)
def test_only_options_of_the_chosen_handler(words: list[str], environ: dict[str, str], shown: str, hidden: str) -> None:
    """Those of the others are a line that says how to see them."""
    text = _help("process", *words, width=140, **environ)
    assert shown in text
    assert hidden not in text


def test_the_settings_of_an_own_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are variables without flags."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_of_help.py").write_text(
        "from fmq.handler import HandlerSettings, setting\n"
        "class OwnSettings(HandlerSettings):\n"
        "    own_size: int = setting(..., about='How large.', expected='a number')\n"
        "class Own:\n"
        "    Settings = OwnSettings\n"
        "    def handle(self, message): ...\n"
    )
    assert re.search(
        r"FMQ_OWN_SIZE +How large. \[required\]", _help("process", "--handler", "own_of_help:Own", width=140)
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_are_as_wide_as_the_terminal(width: int) -> None:
    """None is wider, and a wide terminal is used."""
    longest = max(map(len, _help("process", width=width).splitlines()))
    assert width - 15 < longest <= width


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["stauts"], "'status'"),
        (["dead", "lsit"], "'list'"),
        (["status", "--jsn"], "'--json'"),
        (["process", "--webhok-url", "x"], "'--webhook-url'"),
    ],
)
def test_a_misspelt_word(words: list[str], meant: str) -> None:
    """The error names what was meant, for commands that are not loaded yet too."""
    result = CliRunner().invoke(fmq_command, words)
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr
    assert meant in result.stderr


@pytest.mark.parametrize("flag", [["--broker-password=hunter2"], ["--broker-password", "hunter2"]])
def test_a_secret_as_a_flag(flag: list[str]) -> None:
    """The error says how to give it, and does not show it."""
    result = CliRunner().invoke(fmq_command, ["listen", "q", *flag])
    assert result.exit_code == 2
    assert "FMQ_BROKER_PASSWORD_FILE" in result.stderr
    assert "hunter2" not in result.output
