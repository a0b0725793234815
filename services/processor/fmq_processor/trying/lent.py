"""Lends messages that no store holds."""

from collections.abc import Iterable, Mapping, Sequence

from fmq.message import Claim, Message
from fmq.outcome import GiveBack, Outcome, Settlement
from fmq.store.records import Service


class Lent:
    """Lends each message until it is settled, and keeps the outcomes. Implements fmq.store.roles.Lending.

    Nothing is set aside in it, and nobody else uses it.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._left = list(messages)
        self._queues = sorted({message.queue for message in messages})
        self.outcomes: dict[int, Outcome] = {}
        """By the id of the message."""

    def names(self) -> Sequence[str]:
        return self._queues

    def claim(
        self,
        name: str,
        limit: int,
        *,
        lease: float,
        ordered: bool = False,  # noqa: ARG002 - as the role has it
        most_bytes: int | None = None,  # noqa: ARG002 - as above
        route: str | None = None,  # noqa: ARG002 - as above
    ) -> Sequence[Claim]:
        taken = [message for message in self._left if message.queue == name][:limit]
        self._left = [message for message in self._left if message not in taken]
        return [Claim(message, 1, lease) for message in taken]

    def ordered(self, name: str) -> bool | None:  # noqa: ARG002 - as above
        return None

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        return [claim._replace(lease_until=claim.lease_until + lease) for claim in claims]

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]], *, worker: str = "") -> Sequence[Claim]:  # noqa: ARG002 - as above
        for claim, settlement in settlements:
            if isinstance(settlement, GiveBack):
                self._left.append(claim.message)
            else:
                self.outcomes[claim.message.id] = settlement
        return ()

    def unsettled(self) -> Sequence[str] | None:
        return None

    def alarm(self) -> int | None:
        return None

    def parked(self, name: str, *, most: int = 0) -> Mapping[str, int]:  # noqa: ARG002 - as the role has it
        return {}

    def release(self, name: str, *, but: Sequence[str] = (), limit: int = 0) -> int:  # noqa: ARG002 - as above
        return 0

    def services(self) -> Sequence[Service]:
        return ()

    def wait(self, timeout: float) -> bool:  # noqa: ARG002 - as above
        return bool(self._left)
