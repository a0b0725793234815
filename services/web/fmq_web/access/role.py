"""What a caller may do."""

from enum import StrEnum


class Role(StrEnum):
    """What a caller may do. Each role includes those before it."""

    ANYONE = "anyone"
    """See the sign-in page and its assets."""
    READ = "read"
    OPERATE = "operate"

    def includes(self, other: "Role") -> bool:
        """Whether a caller with this role may do what needs ``other``."""
        order = list(Role)
        return order.index(self) >= order.index(other)
