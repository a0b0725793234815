"""Passwords, kept as scrypt hashes. One hash takes about 0.3 s and 32 MiB."""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Self
from unicodedata import normalize

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024
_N, _R, _P = 2**15, 8, 3
_MEMORY_BYTES = 128 * _N * _R * 2
_SIZE = 32
_SALT_SIZE = 16
_PREFIX = f"scrypt${_N}${_R}${_P}$"


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A password's hash: ``scrypt$N$r$p$SALT$HASH``, in base64. Only one set of costs exists, so all checks take the same time."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, password: str) -> Self:
        """Hash ``password`` with a new salt."""
        salt = secrets.token_bytes(_SALT_SIZE)
        return cls(salt, _scrypt(password, salt))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` returned. Raises ValueError, which never has ``text`` in it."""
        if not text.startswith(_PREFIX):
            raise ValueError(f"expected a hash that starts with {_PREFIX}")
        try:
            salt, digest = (b64decode(part, validate=True) for part in text.removeprefix(_PREFIX).split("$"))
        except ValueError:
            raise ValueError("the hash is damaged") from None
        if len(salt) != _SALT_SIZE or len(digest) != _SIZE:
            raise ValueError("the hash is damaged")
        return cls(salt, digest)

    @classmethod
    def of_nobody(cls) -> Self:
        """A hash that no password has."""
        return cls(secrets.token_bytes(_SALT_SIZE), secrets.token_bytes(_SIZE))

    def matches(self, password: str) -> bool:
        """Whether this is the hash of ``password``."""
        return hmac.compare_digest(_scrypt(password, self.salt), self.digest)

    def __str__(self) -> str:
        return _PREFIX + "$".join(b64encode(part).decode() for part in (self.salt, self.digest))


def password_bytes(password: str) -> bytes:
    """The same text may be typed as different code points, so it is normalised (RFC 8265, section 4.2).

    The time for that grows with the square of the number of combining marks, so the rest of a long text is left out first.
    """
    text = normalize("NFC", password[: 4 * LONGEST_PASSWORD])
    return text[:LONGEST_PASSWORD].encode("utf-8", "surrogatepass")


def _scrypt(password: str, salt: bytes) -> bytes:
    text = password_bytes(password)
    return hashlib.scrypt(text, salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY_BYTES, dklen=_SIZE)
