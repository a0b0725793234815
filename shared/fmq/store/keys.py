"""Keys by which duplicates are recognized."""

import hashlib


def digest(text: str) -> bytes:
    """16 bytes that stand for a text that may be longer than an index takes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
