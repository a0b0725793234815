"""Finds queues of routes that the listener of the same configuration file does not fill."""

from collections.abc import Iterator, Sequence

from fmq.service.config.file import ConfigFile, as_given
from fmq.service.config.places import PROCESSOR, ROUTE, Place
from fmq.store.nearest import did_you_mean
from fmq.text import plain
from fmq.topics import QUARANTINE, queue_name

LISTENER = ("listener", "topics")


def names(file: ConfigFile, place: Place) -> Sequence[str]:
    """The queues that ``place`` names; none without a value."""
    given = as_given(file.value(place) or [])
    texts = given if isinstance(given, tuple) else given.split(",")
    return [queue_name(one.strip()) for one in texts if one.strip()]


def unfilled(file: ConfigFile) -> Iterator[str]:
    """A remark for each queue of a processor that is not in [listener] topics. Other programs may fill it, so it is no error."""
    filled = names(file, LISTENER)
    places: list[Place] = [(PROCESSOR, "queues"), *((ROUTE, number, "queues") for number in range(len(file.routes)))]
    for place in places if filled else ():
        for name in names(file, place):
            if name not in filled and name != QUARANTINE:
                hint = did_you_mean(name, filled) or " The listener of this file does not fill it"
                yield f"{file.where(place)}: the queue {plain(name)} is not in [listener] topics.{hint}"
