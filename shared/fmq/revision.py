"""The revision of the source that an image was built from."""

import sys
from pathlib import Path


def revision(prefix: str = sys.prefix) -> str:
    """The revision in the file ``fmq-revision`` of the environment ``prefix``; empty if it is not known."""
    try:
        found = (Path(prefix) / "fmq-revision").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
    return "" if found == "unknown" else found
