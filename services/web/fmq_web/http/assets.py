"""Serves the files that pages load. Their path holds a hash of their contents, so browsers may keep them forever."""

from collections.abc import Callable
from typing import Protocol

from starlette.responses import Response

PATH = "/assets/{version}/{name:path}"
_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}


class Asset(Protocol):
    """A file and its content type."""

    @property
    def content(self) -> bytes: ...
    @property
    def media(self) -> str: ...


FindAsset = Callable[[str, str], Asset | None]
"""The file at ``/assets/{version}/{name}``; None if there is none."""


def show_asset(asset: Asset) -> Response:
    """The answer with a file."""
    return Response(asset.content, headers=_HEADERS, media_type=asset.media)
