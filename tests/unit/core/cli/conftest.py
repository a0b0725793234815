"""What several tests of commands need."""

import pytest


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are answered by what is on standard input, as if it were a terminal."""
    monkeypatch.setattr("fmq.cli.common.asking.has_terminal", lambda: True)
