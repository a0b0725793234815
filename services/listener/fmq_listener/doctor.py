"""The listener's part of `fmq doctor`: is the broker reached, and does it grant what the settings need?"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress

from paho.mqtt.client import WebsocketConnectionError
from paho.mqtt.reasoncodes import ReasonCode

from fmq.clock import SYSTEM_CLOCK
from fmq.finding import Finding, ok, problem, warning
from fmq.mqtt.reasons import explain_auth
from fmq.quantities import show
from fmq.service import inventory
from fmq.service.broker.client import explain_error
from fmq.text import plain, without_query
from fmq_listener.mqtt.probe import Probe
from fmq_listener.mqtt.refusals import explain_refusal
from fmq_listener.mqtt.upgrade import upgrade_status
from fmq_listener.settings import ListenerSettings

_CERTIFICATE_DAYS = 21
_DAY = 86_400
_SYS_VERSION = "$SYS/broker/version"
_SYS_DROPPED = "$SYS/broker/publish/messages/dropped"
_QUEUE_LIMITS = (
    "The broker does not say how much it keeps for an absent listener. Check its configuration; for Mosquitto: persistence true, "
    "max_queued_messages (1000 by default, then it drops), max_inflight_messages (20 by default), and not "
    "per_listener_settings true (since 2.0.12 it then keeps nothing for absent clients)."
)


def check_broker(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Connect under another client id, so that a running listener is not disturbed, and ask. Raises SettingsError."""
    settings = inventory.read(ListenerSettings, environ)
    topics = bool(environ.get("FMQ_TOPICS"))
    broker = settings.broker
    with Probe(settings) as probe:
        try:
            answer = probe.connect()
        except (OSError, ValueError) as error:
            advice = "Is it running, and is FMQ_BROKER_URL right? Look at name resolution, routes and firewalls."
            status = upgrade_status(settings) if isinstance(error, WebsocketConnectionError) else ""
            if status:
                advice = "Look at the path, the query (FMQ_BROKER_QUERY) and the headers (FMQ_BROKER_HEADERS)."
            answered = f"; it answers with HTTP status {plain(status)}" if status else ""
            yield problem("broker", f"{broker} was not reached: {explain_error(error)}{answered}", advice)
            return
        if answer is None and probe.said.asks:
            advice = "Set FMQ_BROKER_USERNAME and FMQ_BROKER_PASSWORD, or FMQ_TLS_CERT_FILE and FMQ_TLS_KEY_FILE."
            yield problem("broker", f"{broker}: {explain_auth(probe.said)}", advice)
            return
        if answer is None:
            advice = (
                "Does MQTT listen on that port, and is it with or without TLS? Does it expect an application protocol (FMQ_TLS_ALPN), "
                f"and allow the client id {probe.client_id} of this check? If it knows no MQTT 5: FMQ_MQTT_VERSION=3.1.1."
            )
            yield problem("broker", f"{broker} accepts the connection, but does not answer CONNECT", advice)
            return
        if answer.is_failure:
            yield problem(
                "broker",
                f"{broker}: {explain_refusal(answer, probe.said)}",
                f"This check calls itself {probe.client_id}.",
            )
            return
        user = f"as {without_query(settings.username)}" if settings.username else "without a user name"
        yield ok("broker", f"{broker} accepts the connection {user}")
        yield from _certificate(probe.certificate_ends())
        yield from _limits(settings, probe, topics=topics)
    if topics:
        yield from _subscriptions(settings)
    yield from _statistics(settings)


def _certificate(ends: str | None) -> Iterator[Finding]:
    if ends is None:
        return
    days = (ssl.cert_time_to_seconds(ends) - SYSTEM_CLOCK.wall()) / _DAY
    text = f"valid until {ends}"
    if days < _CERTIFICATE_DAYS:
        yield warning(
            "broker's certificate", f"{text}, for {days:.0f} days", "Renew it, or the listener can't connect any more."
        )
    else:
        yield ok("broker's certificate", text)


def _limits(settings: ListenerSettings, probe: Probe, *, topics: bool) -> Iterator[Finding]:
    """Compare the limits in CONNACK (MQTT 5, section 3.2.2.3) with the settings."""
    if settings.mqtt_version != "5":
        yield ok("broker's limits", "MQTT 3.1.1 does not announce them")
        return
    about = "broker's limits"
    missing = list(_missing(settings, probe, topics=topics))
    yield from (problem(about, text, advice) for text, advice in missing)
    found = list(_too_low(settings, probe))
    yield from (warning(about, text, advice) for text, advice in found)
    if not found and not missing:
        size = _limit(probe, "MaximumPacketSize")
        packets = "of any size" if size is None else f"of at most {size:,} bytes"
        own = show(settings.max_packet_bytes, "bytes")
        dropped = (
            ""
            if size is not None and size <= settings.max_packet_bytes
            else f", and drops those above FMQ_MAX_PACKET_BYTES={own}"
        )
        yield ok(about, f"high enough for the settings; it takes packets {packets} from publishers{dropped}")


def _too_low(settings: ListenerSettings, probe: Probe) -> Iterator[tuple[str, str]]:
    inflight = _limit(probe, "ReceiveMaximum")
    if inflight is not None and inflight < settings.inflight:
        yield (
            f"Receive Maximum is {inflight:,}, FMQ_INFLIGHT {settings.inflight:,}",
            (
                "It is the broker's limit for what it receives; Mosquitto takes the same (max_inflight_messages) for what it sends, and "
                "then no batch is larger: raise it there."
            ),
        )
    expiry = _limit(probe, "SessionExpiryInterval")
    if expiry is not None and expiry < settings.session_expiry_seconds:
        yield (
            f"it keeps a session for {expiry:,} s, FMQ_SESSION_EXPIRY_SECONDS asks for {settings.session_expiry_seconds:,}",
            "A listener that is away longer loses what came meanwhile: raise the broker's limit.",
        )


def _missing(settings: ListenerSettings, probe: Probe, *, topics: bool) -> Iterator[tuple[str, str]]:
    """Features that the settings need and the broker lacks."""
    if _limit(probe, "MaximumQoS") == 0:
        yield "Maximum QoS is 0", "Nothing is acknowledged, and messages may be lost: fmq can't work with this broker."
    wanted = (
        ("SharedSubscriptionAvailable", "shared subscriptions", any(f.text != f.name for f in settings.filters)),
        ("WildcardSubscriptionAvailable", "wildcards", any("+" in f.name or "#" in f.name for f in settings.filters)),
    )
    for name, words, needed in wanted:
        if topics and needed and _limit(probe, name) == 0:
            text = f"it has no {words}, but FMQ_TOPICS uses them: nothing arrives for these filters"
            yield text, "Name plain topics in FMQ_TOPICS."


def _limit(probe: Probe, name: str) -> int | None:
    value: int | None = getattr(probe.limits, name, None)
    return value


def _subscriptions(settings: ListenerSettings) -> Iterator[Finding]:
    """Ask for each filter; on a new probe where the broker has ended the last one, as RabbitMQ does after a refusal."""
    with ExitStack() as stack:
        probe: Probe | None = None
        for one in settings.filters:
            about = f"subscription {one.text}"
            if one.text != one.name:
                yield _shared(about, settings)
                continue
            if probe is None:
                probe = stack.enter_context(Probe(settings))
                with suppress(OSError, ValueError):
                    probe.connect()
            reason = probe.subscribe(one.text)
            yield _subscription(about, reason)
            if reason is None or reason.is_failure:
                probe = None


def _shared(about: str, settings: ListenerSettings) -> Finding:
    text = "not tried: a shared one would take messages from the listener"
    if settings.mqtt_version == "5":
        return ok(about, text)
    advice = (
        "A broker without them treats it as a plain filter, and nothing arrives. See its documentation, or use MQTT 5."
    )
    return warning(about, f"{text}; MQTT 3.1.1 can't say whether the broker has shared subscriptions", advice)


def _subscription(about: str, reason: ReasonCode | None) -> Finding:
    if reason is None:
        return problem(about, "the broker does not answer", "Look at the broker's log.")
    if reason.is_failure:
        advice = "Look at the broker's access rules for this user."
        return problem(about, f"the broker refused it: {reason.getName()}", advice)
    if reason.value < 1:
        advice = "Look at the broker's limits for this user. Until it grants QoS 1, the listener is not ready."
        return problem(about, "granted at QoS 0 only: messages may be lost", advice)
    # Mosquitto grants everything, and holds back at each message what its access rules forbid.
    return ok(about, "granted (access rules of the broker may still block messages)")


def _statistics(settings: ListenerSettings) -> Iterator[Finding]:
    """What the broker publishes of itself, on a last probe: a broker that forbids $SYS may end the connection for asking."""
    version: str | None = None
    dropped: str | None = None
    with Probe(settings) as probe, suppress(OSError, ValueError):
        probe.connect()
        version, dropped = probe.read(_SYS_VERSION), probe.read(_SYS_DROPPED)
    if version:
        yield ok("broker's version", version)
    yield from _kept(dropped)


def _kept(dropped: str | None) -> Iterator[Finding]:
    if dropped is None or not dropped.isdigit():
        yield ok("broker's queue", _QUEUE_LIMITS)
    elif int(dropped):
        yield warning(
            "broker's queue",
            f"the broker has dropped {int(dropped):,} messages of its clients",
            _QUEUE_LIMITS,
        )
    else:
        yield ok("broker's queue", f"the broker has dropped no message. {_QUEUE_LIMITS}")
