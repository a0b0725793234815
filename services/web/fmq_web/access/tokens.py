"""Tokens: 256 random bits for programs. Only their SHA-256 is kept: nobody can guess them, so no slow hash is needed."""

import hashlib
import re
import secrets

_PREFIX = "sha256$"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def new_token() -> str:
    """A new token."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """The hash of a token or of a session's id, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def show_digest(token: str) -> str:
    """The hash of ``token`` as the users' file has it."""
    return _PREFIX + digest_of(token)


def parse_digest(text: str) -> str:
    """Read what ``show_digest`` returned. Raises ValueError, which never has ``text`` in it."""
    digest = text.removeprefix(_PREFIX)
    if not text.startswith(_PREFIX) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"expected {_PREFIX} and 64 hexadecimal digits")
    return digest
