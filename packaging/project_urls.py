"""Puts the project's address into the wheels. The publisher names it: make dist PROJECT_URL=https://…"""

import os
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ProjectUrls(MetadataHookInterface):
    """Fills in the dynamic field ``urls`` from ``PROJECT_URL``; without it, the wheels name no address."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling for each distribution."""
        url = os.environ.get("PROJECT_URL", "").rstrip("/")
        metadata["urls"] = (
            {
                "Homepage": url,
                "Documentation": f"{url}/blob/main/docs/README.md",
                "Changelog": f"{url}/blob/main/CHANGELOG.md",
                "Issues": f"{url}/issues",
            }
            if url
            else {}
        )
