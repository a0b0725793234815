"""Builds the documentation site in build/site/html: python docs/site/make_site.py. Exit code 1 if a link does not work."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from site_links import faults
from site_pages import ROOT, stage

HERE = Path(__file__).parent
TARGET = ROOT / "build/site"
_SHIM = re.compile(r'https://[^"]*/iframe-worker/shim')
"""What the plugin offline loads; this site brings it along."""


def main() -> int:
    """Copy the pages, build, and check the result."""
    stage(TARGET / "pages")
    shutil.copy(HERE / "mkdocs.yml", TARGET)
    for name in ("iframe-worker.js", "site.css"):
        shutil.copy(HERE / name, TARGET / "pages")
    shutil.rmtree(TARGET / "html", ignore_errors=True)
    built = subprocess.run(
        [Path(sys.executable).with_name("zensical"), "build", "--strict", "--clean"], cwd=TARGET, check=False
    )
    if built.returncode:
        return 1
    html = TARGET / "html"
    for page in html.rglob("*.html"):
        up = "../" * len(page.relative_to(html).parent.parts)
        text = page.read_text(encoding="utf-8")
        page.write_text(_SHIM.sub(f"{up}iframe-worker.js", text), encoding="utf-8")
    found = faults(html)
    print("\n".join([*found, f"{html.relative_to(ROOT)}/index.html: {len(found)} faults"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
