"""Runs wrong inputs and records the answers in docs/wrong-inputs.md. tests/integration/test_wrong_inputs.py checks the page."""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.wrong_input_cases import WRONG_INPUTS  # noqa: E402 - needs the path
from support.wrong_inputs import stage  # noqa: E402 - as above

_HEAD = """# Wrong inputs and their answers

<!-- Made by docs/make_wrong_inputs.py from real output: change the messages in the code. -->

An answer names what is wrong, the value as it was given, what is expected, and where it helps the next command to try. All invalid
settings are reported at once. Secrets are never shown. [Exit codes](exit-codes.md) explains the last column.

| what is wrong | input | answer | exit code |
| --- | --- | --- | --- |
"""


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as ready:
        rows = [ready.row(case, *ready.run(case)) for case in WRONG_INPUTS]
    (HERE / "wrong-inputs.md").write_text(_HEAD + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
