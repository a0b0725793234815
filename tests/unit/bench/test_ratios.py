"""The kept ratios of the bench: which ones a run says have moved."""

from pathlib import Path

import pytest

from bench import ratios
from bench.measure import Figures, Goal, Round, Table


class _Part:
    """Two ratios, of which one is better the smaller it is, and a figure alone."""

    TABLES: tuple[Table, ...] = ()
    GOALS = (Goal("rate", "ours", "theirs"), Goal("cost", "ours", "theirs", most=1.2), Goal("alone", "ours"))

    def measure(self, turn: Round) -> Figures:
        raise NotImplementedError


_PART = _Part()


def _rounds(*values: float) -> list[Figures]:
    return [{"ours": value, "theirs": 1.0} for value in values]


@pytest.fixture(autouse=True)
def _kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratios, "_KEPT", tmp_path / "ratios.toml")


def test_what_was_kept_is_read_again() -> None:
    """A run compared with itself has moved nothing, and only ratios are kept, with those of earlier runs."""
    assert ratios.read() == {}
    ratios.keep([_PART], _rounds(1.0, 1.1, 0.9))
    assert ratios.read() == {name: {"median": 1.0, "noise": 0.1} for name in ("rate", "cost")}
    assert list(ratios.moved([_PART], _rounds(1.0), ratios.read())) == []
    ratios.keep([], [])
    assert len(ratios.read()) == 2


@pytest.mark.parametrize(
    ("rounds", "said"), [((1.09,), []), ((1.2, 1.21, 1.2), ["better", "WORSE"]), ((0.8, 0.8), ["WORSE", "better"])]
)
def test_what_moved_by_more_than_its_noise_is_told(rounds: tuple[float, ...], said: list[str]) -> None:
    """In the direction that counts for each ratio; within the noise, nothing is said."""
    ratios.keep([_PART], _rounds(1.0, 1.1, 0.9))
    lines = list(ratios.moved([_PART], _rounds(*rounds), ratios.read()))
    assert [line.rpartition("(")[2].rstrip(")") for line in lines] == said


def test_noise_of_this_run_counts_too() -> None:
    """A median of rounds that lie far apart says little."""
    ratios.keep([_PART], _rounds(1.0))
    assert ratios.read()["rate"]["noise"] == 0.05
    assert list(ratios.moved([_PART], _rounds(0.5, 1.3, 1.6), ratios.read())) == []
