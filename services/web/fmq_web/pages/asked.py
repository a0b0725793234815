"""What a reader asks for in the messages of a queue: the fields of the search form, and what they mean."""

from typing import Annotated, Literal, Self

from pydantic import Field

from fmq.store.selection import Selection, State
from fmq_web.http.route import Parameters
from fmq_web.pages import times
from fmq_web.views.asking import selection

AskedState = Literal["any", "pending", "delayed", "claimed", "done", "dead"]
_MARK = ":"
"""Before a fingerprint, since a form's empty field counts as not given, and an empty fingerprint is one of its own."""
LONGEST = 65_535


def group_of(fingerprint: str) -> str:
    """The value of the field ``group`` for a fingerprint."""
    return _MARK + fingerprint


class Chosen(Parameters):
    """What selects messages of a state. ``since`` and ``until`` are as a reader writes them, see times.exact."""

    topic: Annotated[str, Field(max_length=LONGEST)] = ""
    reason: Annotated[str, Field(max_length=1_000)] = ""
    since: Annotated[str, Field(max_length=100)] = ""
    until: Annotated[str, Field(max_length=100)] = ""
    group: Annotated[str, Field(max_length=1_000, pattern=f"^({_MARK}(.|\n)*)?$")] = ""

    def at(self, now: float) -> Self:
        """The same, with times that mean the same later on (times.exact). Raises Problem 422."""
        exact = {name: times.exact(getattr(self, name), now) for name in ("since", "until")}
        return self.model_copy(update=exact)

    @property
    def fingerprint(self) -> str | None:
        """None if no group is asked for."""
        return self.group.removeprefix(_MARK) if self.group else None

    def chosen(self) -> dict[str, str]:
        """The fields that are filled in and select messages of a state."""
        return {name: value for name in Chosen.model_fields if (value := getattr(self, name))}

    def which(self, state: State) -> Selection:
        """The selection. Only of what ``at`` returned. Raises Problem 422 for an invalid topic filter."""
        return selection(
            state,
            topic=self.topic or None,
            reason=self.reason or None,
            since=times.unix(self.since),
            until=times.unix(self.until),
            group=self.fingerprint,
        )


class Listed(Chosen):
    """A list of messages."""

    state: AskedState = "any"
    text: Annotated[str, Field(max_length=1_000)] = ""

    def fields(self) -> dict[str, str]:
        """What was filled in."""
        other = {"state": self.state, "text": self.text}
        return {**{name: value for name, value in other.items() if value and value != "any"}, **self.chosen()}


class Asked(Listed):
    """One step through messages."""

    queue: str = Field(min_length=1, max_length=LONGEST)
    before: Annotated[str | None, Field(max_length=2 * LONGEST)] = None
