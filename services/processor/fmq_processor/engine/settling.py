"""From the end of a call to its commit: the judge decides, the outbox commits, the accounting counts."""

from collections.abc import Callable, Sequence

from fmq.message import Claim
from fmq.outcome import GiveBack
from fmq_processor.engine.accounting import Accounting
from fmq_processor.engine.in_hand import InHand
from fmq_processor.engine.judge import Judge
from fmq_processor.engine.outbox import Outbox
from fmq_processor.engine.verdict import NOT_HANDLED, Kind, given_back
from fmq_processor.job import Finished, Job


class Settling:
    """Passes messages from one to the next. Keeps nothing itself."""

    def __init__(
        self,
        *,
        judge: Judge,
        outbox: Outbox,
        accounting: Accounting,
        in_hand: InHand,
        on_not_handled: Callable[[int], None] | None = None,
    ) -> None:
        """``on_not_handled`` receives how many messages of a commit did not reach the handler."""
        self._judge = judge
        self._outbox = outbox
        self._accounting = accounting
        self._in_hand = in_hand
        self._on_not_handled = on_not_handled

    def __len__(self) -> int:
        """The number of messages that wait for their commit."""
        return len(self._outbox)

    def finished(self, calls: Sequence[Finished]) -> None:
        """Settle the messages of calls that have ended."""
        judged = self._judge.finished
        for call in calls:
            self._outbox.add(judged(call.job, call.result))

    def timed_out(self, job: Job, result: object) -> None:
        """Settle the messages of a call that took too long."""
        self._accounting.timed_out(job)
        self._outbox.add(self._judge.finished(job, result))

    def interrupted(self, job: Job) -> None:
        """Settle the messages of a call that could not be waited for."""
        self._outbox.add(self._judge.interrupted(job))

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Settle messages that were never tried."""
        self._outbox.add(map(given_back, claims))

    def postpone(self, claims: Sequence[Claim], delay: float) -> None:
        """Settle messages that were never tried, to be claimed again after ``delay`` seconds."""
        self._outbox.add((claim, GiveBack(delay), Kind.POSTPONED, "") for claim in claims)

    def set_aside(self, claims: Sequence[Claim], settlement: GiveBack) -> None:
        """Settle messages of another route, or of none, that were never tried."""
        self._outbox.add((claim, settlement, Kind.PARKED, "") for claim in claims)

    def without_settled(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Those of ``claims`` that need an attempt. The others are settled: expired, or out of attempts."""
        if self._judge.needs_all(claims):
            return claims
        left = []
        for claim in claims:
            verdict = self._judge.beforehand(claim)
            if verdict is None:
                left.append(claim)
            else:
                self._outbox.add([verdict])
        return left

    def commit(self) -> bool:
        """Commit everything. Returns whether nothing is left."""
        if not self._outbox:
            return True
        commit = self._outbox.commit()
        if commit is None:
            return False
        self._in_hand.gone(len(commit.verdicts))
        self._accounting.committed(commit)
        if self._on_not_handled:
            self._on_not_handled(sum([verdict[2] in NOT_HANDLED for verdict in commit.verdicts]))
        return True
