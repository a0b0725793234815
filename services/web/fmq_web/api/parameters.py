"""What the API takes: queries and bodies, each with its limits."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fmq.message import LATEST_MOMENT
from fmq.store.selection import Selection, State
from fmq_web.answers.activity import OperationKind
from fmq_web.http.route import Parameters
from fmq_web.operations.picked import MOST_IDS
from fmq_web.views.asking import selection
from fmq_web.views.messages import MOST
from fmq_web.views.payload import SMALLEST, WINDOW

_LONGEST_TOPIC = 65_535
"""In bytes: MQTT 5, section 1.5.4."""
_LONGEST_TEXT = 1_000
_GREATEST = 2**63 - 1


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("expected text that UTF-8 can encode") from None
    return text


_Text = Annotated[str, AfterValidator(_encodable)]
QueueName = Annotated[
    _Text, Field(min_length=1, max_length=_LONGEST_TOPIC, description="The queue's name: its topic filter.")
]
_LEVEL = r"(\+|[^+#/\x00]*)"
_Filter = Annotated[
    _Text | None,
    Field(
        max_length=_LONGEST_TOPIC,
        description="A topic filter. Only messages whose topic matches it.",
        json_schema_extra={
            "pattern": f"^(#|{_LEVEL}(/{_LEVEL})*(/#)?)$"
        },  # checked by Selection, which says what is wrong
    ),
]
_Reason = Annotated[
    _Text | None,
    Field(max_length=_LONGEST_TEXT, description="Only messages with this text in their reason, in any case."),
]
_Group = Annotated[
    _Text | None, Field(max_length=_LONGEST_TEXT, description="Only dead letters of the group with this fingerprint.")
]
_Since = Annotated[
    float | None,
    Field(
        ge=0,
        lt=LATEST_MOMENT,
        allow_inf_nan=False,
        description="Only messages that came into the state then or later, in Unix seconds.",
    ),
]
_Until = Annotated[
    float | None,
    Field(
        ge=0,
        lt=LATEST_MOMENT,
        allow_inf_nan=False,
        description="Only messages that came into the state before then, in Unix seconds.",
    ),
]
_Cursor = Annotated[
    str | None,
    Field(
        max_length=2 * _LONGEST_TOPIC,
        pattern=r"^[A-Za-z0-9_-]*$",
        description="The cursor ``before`` of an earlier answer to the same query.",
    ),
]


class OneQueue(Parameters):
    """A queue."""

    queue: QueueName


class NamedQueue(Parameters):
    """A queue by its name."""

    name: QueueName


class HistoryQuery(OneQueue):
    """How far back."""

    hours: Literal["1", "6", "24"] = "1"


class Chosen(Parameters):
    """What selects messages of a state."""

    topic: _Filter = None
    reason: _Reason = None
    since: _Since = None
    until: _Until = None
    fingerprint: _Group = None

    def which(self, state: State) -> Selection:
        """The selection. Raises Problem 422 for an invalid topic filter."""
        return selection(
            state, topic=self.topic, reason=self.reason, since=self.since, until=self.until, group=self.fingerprint
        )


class MessagesQuery(Chosen, OneQueue):
    """One step through messages."""

    state: Literal["any", "pending", "delayed", "claimed", "done", "dead"] = "any"
    text: _Text | None = Field(
        None, max_length=_LONGEST_TEXT, description="Text in the payload or the topic, in the same case."
    )
    before: _Cursor = None
    limit: int = Field(50, ge=1, le=MOST, description="Maximum number of messages.")


class WindowQuery(OneQueue):
    """A part of a payload."""

    offset: int = Field(0, ge=0, le=_GREATEST, description="The first byte.")
    length: int = Field(WINDOW, ge=SMALLEST, le=WINDOW, description="Maximum number of bytes.")


class GroupsQuery(Parameters):
    """One step through dead letters."""

    queue: Annotated[QueueName | None, Field(description="A queue; without it, all.")] = None
    before: _Cursor = None


class ExportQuery(Chosen, OneQueue):
    """Which dead letters."""


class ActivityQuery(Parameters):
    """One step through the audit."""

    before: _Cursor = None
    limit: int = Field(50, ge=1, le=MOST, description="Maximum number of actions.")


class PauseBody(OneQueue):
    """Why a queue is paused."""

    reason: _Text = Field(
        "by an operator", min_length=1, max_length=_LONGEST_TEXT, description="Shown until the queue is resumed."
    )


class PickedBody(OneQueue):
    """Which messages."""

    ids: list[Annotated[str, Field(pattern=r"^[0-9]{1,19}$")]] = Field(
        min_length=1, max_length=MOST_IDS, description="Ids of messages. Those that are neither handled nor dead stay."
    )


class PublishBody(OneQueue):
    """How to publish a message."""

    retain: bool = Field(False, description="Whether the broker keeps it for later subscribers of its topic.")


class DryRunBody(OneQueue):
    """What to change."""

    kind: OperationKind
    selection: Chosen = Field(
        Chosen(),
        description="Which messages of the kind's own state: an object with topic, reason, since, until and fingerprint.",
    )


class StartBody(Parameters):
    """Which dry run to carry out."""

    token: _Text = Field(min_length=1, max_length=200, description="The token of a dry run.")
    rate: float | None = Field(
        None, gt=0, le=1_000_000, allow_inf_nan=False, description="Maximum number of messages per second."
    )
