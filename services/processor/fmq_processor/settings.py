"""What a processor is told."""

from pydantic import ValidationInfo, field_validator

from fmq.settings import setting
from fmq.upkeep import RetentionSettings
from fmq_processor.decoding import NONE, Decode, make_decoder
from fmq_processor.filtering import Filter
from fmq_processor.handlers import BUILTIN

_HANDLERS_SHARE = 0.8


class ProcessorSettings(RetentionSettings):
    """The settings of ``fmq process``."""

    batch: int = setting(
        10,
        about="Maximum number of messages to claim at once, and to pass to a batch handler in one call.",
        right="a number from 1 to 100000, such as 100",
        ge=1,
        le=100_000,
    )
    batch_bytes: int = setting(
        64 * 1024 * 1024,
        about="How many bytes of memory a processor's messages take before it claims no more: payload, topic, properties (about "
        "20 times their text) and, with FMQ_DECODE, the decoded values. The last message may go beyond.",
        right="a number of bytes, 1 or more, such as 67108864",
        ge=1,
    )
    sleep: float = setting(
        1.0,
        about="The longest that an idle processor waits, in seconds. New messages wake it sooner, and a full batch goes on at once.",
        right="seconds, 0 or more, such as 0.5",
        ge=0,
        le=3600,
        allow_inf_nan=False,
    )
    handler: str = setting(
        "log",
        about="What handles the messages: a built-in's name, or package.module:function.",
        right=f"package.module:function, or one of {', '.join(BUILTIN)}",
        min_length=1,
    )
    concurrency: int = setting(
        0,
        about="How many handler calls run at once. 0: as many as the batch has messages for async handlers, one for others.",
        right="a number from 0 to 10000, such as 8",
        ge=0,
        le=10_000,
    )
    lease_seconds: float = setting(
        60.0,
        about="How long a claimed message is kept from other processors. Extended while a handler runs; "
        "after the death of a processor its messages come back this much later.",
        right="seconds from 0.1, such as 60",
        ge=0.1,
        le=86_400,
    )
    handler_timeout: float = setting(
        30.0,
        about="How long one handler call may take before it counts as failed; 0: as long as it likes. "
        "An async call is cancelled; a plain one can't be, and goes on in its thread without effect.",
        right="seconds, 0 or more, such as 30",
        ge=0,
        le=86_400,
    )
    max_retries: int = setting(
        3,
        about="How many attempts follow a failed first one before a message is dead.",
        right="a number from 0 to 1000, such as 3",
        ge=0,
        le=1000,
    )
    backoff_initial: float = setting(
        1.0,
        about="The delay before the first retry, in seconds; it doubles with each one, less up to half by chance.",
        right="seconds, 0 or more, such as 1",
        ge=0,
        le=86_400,
    )
    backoff_maximum: float = setting(
        300.0,
        about="The longest delay before a retry, in seconds.",
        right="seconds, at least FMQ_BACKOFF_INITIAL, such as 300",
        ge=0,
        le=86_400,
    )
    circuit_failures: int = setting(
        5,
        about="How many failed attempts in a row, of several messages and with no success between, mean that the handler's "
        "target is down: nothing more is handled then but one message now and then, until one succeeds. Two in a row are "
        "enough where the handler says so itself (fmq.Unavailable). 0: never.",
        right="a number from 0 to 100000, such as 5",
        ge=0,
        le=100_000,
    )
    circuit_initial: float = setting(
        1.0,
        about="How long after that the first message is tried, in seconds; it doubles with each one that fails, less up to half by chance.",
        right="seconds from 0.01, such as 1",
        ge=0.01,
        le=86_400,
    )
    circuit_maximum: float = setting(
        60.0,
        about="The longest time between two such tries, in seconds; a target that asks to be left alone for longer is, up to an hour.",
        right="seconds, at least FMQ_CIRCUIT_INITIAL, such as 60",
        ge=0.01,
        le=86_400,
    )
    expiry: bool = setting(
        True,
        about="Leave out messages whose MQTT 5 Message Expiry Interval has passed since their receipt; they are counted as expired.",
        right="true or false",
    )
    dead_letter_limit: int = setting(
        100,
        about="How many messages of a queue may die within a minute. The next one does not: the queue is paused instead, for every "
        "processor, until `fmq resume`. So a bad version of a handler can't bury everything. 0: any number.",
        right="a number from 0 to 1000000, such as 100",
        ge=0,
        le=1_000_000,
    )
    dead_letter_share: float = setting(
        0.5,
        about="Only if at least this share of the messages handled within that minute died; 0: whatever was handled beside them. "
        "So a publisher of nonsense can't stop a queue that works.",
        right="a number from 0 to 1, such as 0.5",
        ge=0,
        le=1,
    )
    dead_letter_resume_seconds: float = setting(
        0.0,
        about="After how long a queue that was paused for its dead letters is resumed by itself; 0: never.",
        right="seconds, 0 or more, such as 600",
        ge=0,
        le=31_536_000,
    )
    upkeep: bool = setting(
        False,
        about="Delete what is past its retention, and give space back: for a store that no listener writes to, such as the "
        "target of the queue handler. A listener does so for its own store, whatever this says.",
        right="true or false",
    )
    ordered: bool = setting(
        False,
        about="Handle the messages of each concrete topic strictly in order: later ones wait behind the retries of earlier ones. "
        "All processors of a queue need the same value.",
        right="true or false",
    )

    decode: str = setting(
        "none",
        about="What the payload is decoded to before the handler gets it, as message.body. none: bytes as they are; "
        "auto: as the MQTT 5 content type says; or steps of gzip, zlib, json, msgpack, text. "
        "What can't be decoded is a dead letter at once.",
        right="none, auto, or steps such as json or gzip,json",
    )
    decode_bytes: int = setting(
        16 * 1024 * 1024,
        about="The most bytes that a payload may have to be decoded, also when it is unpacked.",
        right="a number of bytes, 1 or more, such as 16777216",
        ge=1,
    )
    filter: str = setting(
        "",
        about="Only messages for which this JMESPath expression is true reach the handler; the others are done, and counted "
        "as skipped. It can ask for body (decoded), topic, levels, queue, qos, retain, content_type and user "
        "(user properties), and call topic_matches(topic, 'sensors/+/temp').",
        right="such as body.kind == 'alarm' && user.site == 'plant-7'",
    )

    # Validators of fields, not of the model: those run only when every field is right by itself, and then the
    # user would be told of some mistakes only after correcting the others.
    @field_validator("backoff_maximum", "circuit_maximum")
    @classmethod
    def _not_below_the_initial(cls, value: float, info: ValidationInfo) -> float:
        initial = info.data.get(str(info.field_name).replace("maximum", "initial"))
        if initial is not None and value < initial:
            raise ValueError(f"the longest delay is shorter than the first one ({initial:g})")
        return value

    @field_validator("decode")
    @classmethod
    def _decodes(cls, value: str) -> str:
        make_decoder(value, most_bytes=1)
        return value

    @field_validator("filter")
    @classmethod
    def _filters(cls, value: str, info: ValidationInfo) -> str:
        if value and Filter(value).needs_body and info.data.get("decode") == NONE:
            raise ValueError("it asks for the body, and FMQ_DECODE is none: no payload is decoded")
        return value

    @property
    def decoder(self) -> Decode | None:
        """What decodes payloads; None: they stay as they are."""
        return make_decoder(self.decode, most_bytes=self.decode_bytes)

    @property
    def admitted(self) -> Filter | None:
        """What lets messages through to the handler; None: all of them."""
        return Filter(self.filter) if self.filter else None

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues to serve; none: all there are. FMQ_TOPICS may be the listener's, with shared subscriptions."""
        return tuple(_queue_name(topic) for topic in self.topics)

    @property
    def grace_for_handlers(self) -> float:
        """What running calls have of the grace period; the rest is for the last commit and the tear-down."""
        return self.grace_seconds * _HANDLERS_SHARE

    def calls_at_once(self, *, is_async: bool, is_batch: bool) -> int:
        """How many handler calls run at once."""
        if self.concurrency:
            return self.concurrency
        return self.batch if is_async and not is_batch else 1


def _queue_name(topic_filter: str) -> str:
    """A queue is named by its topic filter without ``$share/GROUP/``."""
    shared, _, rest = topic_filter.partition("/")
    return rest.partition("/")[2] if shared == "$share" else topic_filter
