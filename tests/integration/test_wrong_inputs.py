"""Wrong inputs, run for real: each answer helps, and is the one that docs/wrong-inputs.md shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.wrong_input_cases import WRONG_INPUTS, WrongInput
from support.wrong_inputs import Stage, stage

_PAGE = Path(__file__).parents[2] / "docs" / "wrong-inputs.md"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A Mosquitto with users, and a port that is taken."""
    with stage(tmp_path_factory.mktemp("wrong")) as made:
        yield made


@pytest.mark.parametrize("case", WRONG_INPUTS, ids=lambda case: str(case.title))
def test_the_answer(ready: Stage, case: WrongInput) -> None:
    """It has the exit code of its kind and says what is wrong, which value, what is expected and what to do next.

    The answer has no traceback and no secret, and the page shows the same answer (if not: run docs/make_wrong_inputs.py).
    """
    code, text = ready.run(case)
    assert code == case.code, text
    assert not ready.missing(case, text), text
    assert "Traceback" not in text
    assert case.hides not in text
    assert ready.row(case, code, text) in _PAGE.read_text(encoding="utf-8")


def test_the_page_has_no_other_rows() -> None:
    """Each row is one of the inputs that are run."""
    rows = [line for line in _PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| {case.title}" for case in WRONG_INPUTS]
