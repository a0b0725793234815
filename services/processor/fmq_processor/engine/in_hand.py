"""What a worker has claimed and not settled."""

from collections.abc import Iterator, Sequence

from fmq.message import Claim
from fmq_processor.job import Job, size_of


class InHand:
    """The jobs of claimed messages, and the count of all messages that are claimed and not settled."""

    def __init__(self) -> None:
        self._jobs: set[Job] = set()
        self._unsized: set[Job] = set()
        """Jobs whose memory nobody has asked for yet. Most end before that."""
        self._sizes: dict[Job, int] = {}
        self._bytes = 0
        self.messages = 0
        """Messages that are claimed and not settled, those that wait for their commit included."""
        self.suspect: Job | None = None
        """A job that must run alone. It waits until nothing else is in hand."""
        self.suspect_began: float | None = None
        """When the suspect started, in steady seconds."""

    def __len__(self) -> int:
        """The number of jobs."""
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._jobs))

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    @property
    def bytes(self) -> int:
        """The memory of the messages of all jobs."""
        if self._unsized:
            sizes = {job: size_of(job.claims) for job in self._unsized}
            self._sizes.update(sizes)
            self._bytes += sum(sizes.values())
            self._unsized.clear()
        return self._bytes

    @property
    def claims(self) -> list[Claim]:
        """The claims of all jobs."""
        return [claim for job in self._jobs for claim in job.claims]

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Count messages that have just been claimed."""
        self.messages += len(claims)

    def gone(self, count: int) -> None:
        """Count messages that are settled, or that are left to their leases."""
        self.messages -= count

    def add(self, jobs: Sequence[Job]) -> None:
        """Take jobs whose messages were claimed."""
        self._jobs.update(jobs)
        self._unsized.update(jobs)

    def drop(self, job: Job) -> bool:
        """Let go of a job that has ended or will not start. Its messages stay counted until they are settled.

        Returns False if it was not in hand.
        """
        if job not in self._jobs:
            return False
        self._jobs.remove(job)
        self._unsized.discard(job)
        self._bytes -= self._sizes.pop(job, 0)
        if job is self.suspect:
            self.suspect, self.suspect_began = None, None
        return True

    def waiting_suspect(self) -> Job | None:
        """The suspect that has not started."""
        return self.suspect if self.suspect_began is None else None
