"""Signatures by Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks (symmetric, ``v1``)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from uuid import UUID


def webhook_id(unique: UUID) -> str:
    """The id by which a receiver recognises a repeated message. Without a dot, since dots separate the signed parts."""
    return f"msg_{unique.hex}"


def sign(keys: Sequence[bytes], *, identity: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one signature per key, separated by spaces. ``timestamp`` is in Unix seconds."""
    signed = b"%s.%d.%s" % (identity.encode("ascii"), timestamp, body)
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in keys)
