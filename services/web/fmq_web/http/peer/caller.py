"""Who calls."""

from dataclasses import dataclass
from typing import Literal

from fmq_web.access.role import Role

__all__ = ["Caller", "Role"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. ``name`` goes into the audit."""

    name: str
    role: Role
    how: Literal["session", "token", "proxy", "anonymous"]
    address: str
    session: str | None = None
    """The key of the session, for sign-out and for ending its streams."""
