"""The rig that runs pages as readers do: it does what a page says, and notices what is not as shown."""

import os
from pathlib import Path

import pytest

from support.terminal import Terminal
from support.walkthrough import Walk

_PAGE = """
# First

Save this as `greet.sh`:

<!-- file: greet.sh -->
```bash
echo "hello $1"
```

```console
$ bash greet.sh you
hello …
$ printf 'a  b\\nc\\nd\\ne' && \\
  true
a b
…
e
```

<!-- machine -->
```console
$ false
```

<!-- not run -->
```sh
false
```

# Second

Save this as `stay.py`:

<!-- file: stay.py -->
```python
import signal

signal.signal(signal.SIGINT, lambda *_: exit())
print("one\\nready\\ngot 1 echo", flush=True)
while True:
    signal.pause()
```

<!-- terminal: second, keeps running -->
```console
$ python3 stay.py
ready
```

<!-- terminal: second -->
```console
got …
```

<!-- press Ctrl-C: second -->

<!-- exit: 3 -->
```console
$ exit_code() { return 3; }; exit_code
```
"""


def _walk(tmp_path: Path, text: str) -> Walk:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    walk = Walk(tmp_path, lambda _: Terminal(tmp_path, os.environ))
    walk.run(page)
    return walk


def test_a_page_is_run(tmp_path: Path) -> None:
    """Files, output with gaps, a second terminal that goes on, Ctrl-C, exit codes; and the time of each part."""
    assert list(_walk(tmp_path, _PAGE).took) == ["First", "Second"]


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("```console\n$ echo a\nb\n```\n", "the page shows\nb\nand this came:\na\n"),
        ("```console\n$ printf 'a\\nb\\n'\nb\n```\n", "and this came:\na\nb\n"),
        ("```console\n$ true\n$ false\n```\n", "false: exit code 1"),
    ],
)
def test_what_is_not_as_shown(tmp_path: Path, page: str, told: str) -> None:
    """It says where, what was shown, and what came."""
    with pytest.raises(AssertionError) as caught:
        _walk(tmp_path, page)
    assert "page.md, line 1: " in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize("page", ["```sh\nls\n```\n", "Save it:\n\n<!-- file: a.py -->\n```python\n```\n"])
def test_pages_that_a_reader_can_not_follow(tmp_path: Path, page: str) -> None:
    """Commands without a prompt, and files without a name."""
    with pytest.raises(ValueError, match=r"line \d: "):
        _walk(tmp_path, page)
