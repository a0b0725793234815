"""Processor settings, in addition to the common ones."""

from typing import ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from fmq.quantities import show
from fmq.rate import parse_rate
from fmq.service.settings import Headings, Names, placed, setting
from fmq.service.upkeep import RetentionSettings
from fmq.topics import queue_name
from fmq_processor.handlers import BUILTIN
from fmq_processor.prepare.decoding import NONE, Decode, make_decoder
from fmq_processor.prepare.filtering import Filter

_HANDLERS_SHARE = 0.8


class ProcessorSettings(RetentionSettings):
    """The settings of ``fmq process``."""

    table: ClassVar = "processor"

    topics: Names = placed(
        setting(
            (),
            about="Queues to serve, by their topic filters, separated by commas. Default: all queues.",
            expected="the names of queues, such as sensors/+/temp,alerts/#",
        ),
        "processor.queues",
        never_empty=True,
    )
    batch: int = setting(
        10,
        about="Maximum number of messages to claim at once, and to pass to a batch handler in one call.",
        expected="a whole number from 1 to 100000, such as 100",
        ge=1,
        le=100_000,
    )
    batch_bytes: int = setting(
        64 * 1024 * 1024,
        about="Maximum memory of a processor's messages in bytes, before it claims no more: payload, topic, properties (about "
        "20 times their text) and, with FMQ_DECODE, the decoded values. The last message may exceed it.",
        unit="bytes",
        expected="a size, 1 or more, such as 64MiB",
        ge=1,
    )
    sleep: float = setting(
        1.0,
        about="Longest wait of an idle processor. New messages wake it sooner, and it does not wait after a full batch.",
        unit="seconds",
        expected="a time, 0 or more, such as 500ms",
        ge=0,
        le=3600,
        allow_inf_nan=False,
    )
    handler: str = setting(
        "log",
        about="The handler: the name of a built-in, or package.module:function.",
        expected=f"package.module:function, or one of {', '.join(BUILTIN)}",
        min_length=1,
    )
    concurrency: int = setting(
        0,
        about="Number of concurrent handler calls. 0: FMQ_BATCH for async handlers, 1 for others.",
        expected="a whole number from 0 to 10000, such as 8",
        ge=0,
        le=10_000,
    )
    lease_seconds: float = setting(
        60.0,
        about="Time for which a claimed message is reserved for its processor. Extended while a handler runs. "
        "After a processor dies, its messages are delivered again after this time.",
        unit="seconds",
        expected="a time from 100ms, such as 1m",
        ge=0.1,
        le=86_400,
    )
    handler_timeout: float = setting(
        30.0,
        about="Time that a handler call may take before it counts as failed; 0: no limit. "
        "An async call is cancelled. A plain call can't be cancelled: it goes on in its thread without effect.",
        unit="seconds",
        expected="a time, 0 or more, such as 30s",
        ge=0,
        le=86_400,
    )
    max_retries: int = setting(
        3,
        about="Number of retries after a failed first attempt, before a message becomes a dead letter.",
        expected="a whole number from 0 to 1000, such as 3",
        ge=0,
        le=1000,
    )
    backoff_initial: float = setting(
        1.0,
        about="Delay before the first retry. It doubles with each retry, with up to 50 % jitter.",
        unit="seconds",
        expected="a time, 0 or more, such as 1s",
        ge=0,
        le=86_400,
    )
    backoff_maximum: float = setting(
        300.0,
        about="Maximum delay before a retry.",
        unit="seconds",
        expected="a time, at least FMQ_BACKOFF_INITIAL, such as 5m",
        ge=0,
        le=86_400,
    )
    rate_limit: str = setting(
        "",
        about="Maximum number of attempts per time, for all processors of the route together, such as those that share a store on "
        "several hosts. Each message counts, also in batches, and each retry. Empty: no limit.",
        expected="a number per s, min, h or d, such as 100/s or 1000/min",
    )
    rate_burst: int = setting(
        0,
        about="Number of attempts beyond FMQ_RATE_LIMIT that may follow each other at once, after a pause. "
        "0: the messages of one second, and at least 1.",
        expected="a whole number from 0 to 1000000, such as 50",
        ge=0,
        le=1_000_000,
    )
    circuit_failures: int = setting(
        5,
        about="Number of failed attempts in a row, of several messages and with no success in between, that open the circuit "
        "breaker: the handler's target counts as down, and only single messages are tried until one succeeds. Two in a row "
        "suffice if the handler raises fmq.Unavailable. 0: never.",
        expected="a whole number from 0 to 100000, such as 5",
        ge=0,
        le=100_000,
    )
    circuit_initial: float = setting(
        1.0,
        about="Time until the open circuit breaker tries the first message. It doubles with each failure, with up to 50 % jitter.",
        unit="seconds",
        expected="a time from 10ms, such as 1s",
        ge=0.01,
        le=86_400,
    )
    circuit_maximum: float = setting(
        60.0,
        about="Maximum time between two such tries. A longer wait that the target asks for is respected, up to an hour.",
        unit="seconds",
        expected="a time, at least FMQ_CIRCUIT_INITIAL, such as 1m",
        ge=0.01,
        le=86_400,
    )
    expiry: bool = setting(
        True,
        about="Skip messages whose MQTT 5 Message Expiry Interval has passed since their receipt. They count as expired.",
        expected="true or false",
    )
    dead_letter_limit: int = setting(
        100,
        about="Maximum number of dead letters per queue and minute. Instead of the next one, the queue is paused for all "
        "processors until `fmq resume`, so that a bad release of a handler can't bury everything. 0: no limit.",
        expected="a whole number from 0 to 1000000, such as 100",
        ge=0,
        le=1_000_000,
    )
    dead_letter_share: float = setting(
        0.5,
        about="Pause only if at least this share of the messages handled within that minute died; 0: always. "
        "So a publisher of nonsense can't stop a queue that works.",
        expected="a number from 0 to 1, such as 0.5",
        ge=0,
        le=1,
    )
    dead_letter_resume_seconds: float = setting(
        0.0,
        about="Time after which a queue that was paused for its dead letters resumes automatically; 0: never.",
        unit="seconds",
        expected="a time, 0 or more, such as 10m",
        ge=0,
        le=31_536_000,
    )
    upkeep: bool = placed(
        setting(
            False,
            about="Apply retention and release space: for a store that no listener writes to, such as the target of the queue "
            "handler. A listener always does this for its own store.",
            expected="true or false",
        ),
        of_process=True,
    )
    ordered: bool = setting(
        False,
        about="Handle the messages of each concrete topic strictly in order: later messages wait for the retries of earlier ones. "
        "All processors of a queue need the same value.",
        expected="true or false",
    )

    decode: str = setting(
        "none",
        about="How to decode the payload to message.body before the handler runs. none: do not decode, except for a handler with typed payloads; "
        "auto: by the MQTT 5 content type; or steps of gzip, zlib, json, msgpack, text. "
        "A payload that can't be decoded becomes a dead letter at once.",
        expected="none, auto, or steps such as json or gzip,json",
    )
    decode_bytes: int = setting(
        16 * 1024 * 1024,
        about="Maximum size of a payload to decode, in bytes, packed and unpacked.",
        unit="bytes",
        expected="a size, 1 or more, such as 16MiB",
        ge=1,
    )
    filter: str = setting(
        "",
        about="JMESPath expression for messages that reach the handler. Other messages are done and count as skipped. "
        "Fields: body (decoded), topic, levels, queue, qos, retain, content_type and user (user properties); "
        "function: topic_matches(topic, 'sensors/+/temp').",
        expected="an expression such as body.kind == 'alarm' && user.site == 'plant-7'",
    )
    metrics_queue_histograms: bool = placed(
        setting(
            False,
            about="Show the histograms on /metrics for each queue of each route, and not only for each route: about 50 series more "
            "per queue.",
            expected="true or false",
        ),
        of_process=True,
    )
    metrics_store: Literal["auto", "always", "never"] = placed(
        setting(
            "auto",
            about="When a processor shows the store's figures of each queue on /metrics. auto: only while the store has no listener, "
            "which shows them otherwise.",
            expected="auto, always or never",
        ),
        of_process=True,
    )

    headings: ClassVar[Headings] = {
        "Delivery": (
            "batch",
            "batch_bytes",
            "sleep",
            "handler",
            "concurrency",
            "lease_seconds",
            "handler_timeout",
            "expiry",
            "ordered",
        ),
        "Rate limit": ("rate_limit", "rate_burst"),
        "Retries": ("max_retries", "backoff_initial", "backoff_maximum"),
        "Circuit breaker": ("circuit_failures", "circuit_initial", "circuit_maximum"),
        "Dead letters": ("dead_letter_limit", "dead_letter_share", "dead_letter_resume_seconds"),
        "Decoding": ("decode", "decode_bytes", "filter"),
        "Retention": ("upkeep",),
        "Metrics": ("metrics_queue_histograms", "metrics_store"),
    }

    # Validators of fields, not of the model: those run only when every field is valid, so that the user would see some
    # mistakes only after correcting the others.
    @field_validator("backoff_maximum", "circuit_maximum")
    @classmethod
    def _not_below_the_initial(cls, value: float, info: ValidationInfo) -> float:
        initial = info.data.get(str(info.field_name).replace("maximum", "initial"))
        if initial is not None and value < initial:
            raise ValueError(f"it is shorter than the first delay ({show(initial, 'seconds')})")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, value: str) -> str:
        parse_rate(value)
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
            raise ValueError("it uses the body, but FMQ_DECODE=none decodes no payload")
        return value

    @property
    def decoder(self) -> Decode | None:
        """The decoder of payloads. None: no decoding."""
        return make_decoder(self.decode, most_bytes=self.decode_bytes)

    @property
    def admitted(self) -> Filter | None:
        """The filter of messages. None: all reach the handler."""
        return Filter(self.filter) if self.filter else None

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues to serve. Empty: all queues. FMQ_TOPICS may be the listener's, with shared subscriptions."""
        return tuple(queue_name(topic) for topic in self.topics)

    @property
    def per_second(self) -> float:
        """FMQ_RATE_LIMIT in messages per second; 0: no limit."""
        return parse_rate(self.rate_limit)

    @property
    def grace_for_handlers(self) -> float:
        """The part of the grace period for running calls. The rest is for the last commit and the tear-down."""
        return self.grace_seconds * _HANDLERS_SHARE

    def calls_at_once(self, *, is_async: bool, is_batch: bool) -> int:
        """How many handler calls run at once."""
        if self.concurrency:
            return self.concurrency
        return self.batch if is_async and not is_batch else 1
