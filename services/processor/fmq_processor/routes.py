"""The routes of a processor: which messages go to which handler, and with which settings."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fmq.service.config.file import as_given
from fmq.service.config.mistakes import wrong_kind
from fmq.service.config.places import PROCESSOR, ROUTE, home, usual_name
from fmq.service.config.queues import LISTENER, names
from fmq.service.environment import Arguments, Reading
from fmq.service.log import shorten
from fmq.service.settings import HandlerSettings, Names, SettingsModel, detail, placed, setting, variable
from fmq.text import plain
from fmq.topics import QUARANTINE, covers, overlaps, parse
from fmq_processor.handler_loading import Choice, choose, named_handler, read_choice
from fmq_processor.handlers import SETTINGS
from fmq_processor.settings import ProcessorSettings


class _OfRoute(SettingsModel):
    """What only a route has."""

    topics: Names = placed(setting((), about="", expected='topic filters such as ["alarms/+"]'), never_empty=True)


MAIN = "main"
"""The name of the only route of a processor whose file has no routes."""
_LONGEST_NAME = 200
_TOPICS = variable("topics")


@dataclass(frozen=True, slots=True)
class Route:
    """A handler, the messages that it gets, and how.

    ``settings`` are complete: those of the process and this route's. Their ``queues`` are the route's (none: all queues).
    ``topics`` are topic filters for the messages of these queues (none: every message). ``name`` is unique in a processor
    and what logs and metrics show.
    """

    name: str
    settings: ProcessorSettings
    choice: Choice
    topics: tuple[str, ...] = ()


def load_routes(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    arguments: Arguments = None,
    before_import: Callable[[ProcessorSettings], None] = lambda _: None,
) -> tuple[ProcessorSettings, tuple[Route, ...]]:
    """The settings of the process, and its routes in the order of the file: the first one that matches a message has it.

    Without routes in the file there is one, called main. ``arguments`` are those of ``fmq.service.environment.load``.
    ``before_import`` is called once, with the settings of the process if they are valid, since a user's module may log when it
    is imported. Raises SettingsError with all problems of flags, environment, file and handlers.
    """
    if not Reading(flags, environ, arguments).file.routes:
        settings, choice = choose(flags, environ, arguments=arguments, before_import=before_import)
        return settings, (Route(MAIN, settings, choice),)
    # FMQ_TOPICS is the listener's too. What a route serves stands in the route.
    reading = Reading(flags, {name: value for name, value in environ.items() if name != _TOPICS}, arguments)
    whole = reading.read(ProcessorSettings)
    if whole is not None:
        before_import(whole)
    numbers = range(len(reading.file.routes))
    routes = _from_file(reading)
    named = dict.fromkeys(named_handler(reading, number) for number in numbers)
    who = "the handler" if len(named) == 1 else "any handler of the routes:"
    reading.refuse_other_flags(f"not a setting of {who} {', '.join(map(repr, named))}")
    reading.refuse_strangers(variables=True, handlers_are_known=len(routes) == len(numbers))
    if whole is None or reading.problems:
        raise reading.error()
    return whole, tuple(routes)


def _from_file(reading: Reading) -> list[Route]:
    """The valid routes of the file."""
    found: list[tuple[int, Route]] = []
    ambiguous: dict[str, str] = {}
    for number in range(len(reading.file.routes)):
        reading.problems += _foreign_tables(reading, number)
        topics = _topics(reading, number)
        choice = read_choice(reading, number)
        if choice is not None:
            name = _name(reading, number, choice, topics)
            found.append((number, Route(name, choice.processor, choice, topics)))
            own = [] if choice.settings is None else [type(choice.settings)]
            for called, problem in _ambiguous(reading, number, [ProcessorSettings, *own]):
                ambiguous.setdefault(called, problem)
    reading.problems += ambiguous.values()
    reading.problems += _same_names(reading, found)
    if not ambiguous:  # the queues may not be those of the file
        reading.problems += [*_never_matching(reading, found), *_unreachable(reading, found)]
    return [route for _, route in found]


def _topics(reading: Reading, number: int) -> tuple[str, ...]:
    """The route's topic filters. Wrong ones are added to the problems."""
    place = (ROUTE, number, "topics")
    given = reading.file.value(place)
    if given is None:
        return ()
    if wrong := wrong_kind(_OfRoute.model_fields["topics"], f"{reading.file.where(place)}: topics", given):
        reading.problems.append(wrong)
        return ()
    value = as_given(given)
    topics = value if isinstance(value, tuple) else tuple(filter(None, map(str.strip, value.split(","))))
    for one in topics:
        try:
            parse(one)
        except ValueError as error:
            reading.problems.append(
                f"{reading.file.where(place)}: topics: {error}; expected topic filters such as alarms/+"
            )
    return topics


def _name(reading: Reading, number: int, choice: Choice, topics: Sequence[str]) -> str:
    """The name in the file, or the usual one."""
    place = (ROUTE, number, "name")
    given = reading.file.value(place)
    if given is None:
        return usual_name(choice.definition.name, topics or choice.processor.queues)
    if not isinstance(given, str) or not given.strip() or not given.isprintable() or len(given) > _LONGEST_NAME:
        reading.problems.append(
            f"{reading.file.where(place)}: name={shorten(repr(given))}: expected a short text such as fire"
        )
    return str(given)


def _foreign_tables(reading: Reading, number: int) -> Iterator[str]:
    """Tables of built-in handlers in a route that has another one."""
    handler = named_handler(reading, number)
    for key, value in reading.file.routes[number].items():
        if key in SETTINGS and key != handler and isinstance(value, dict):
            where = reading.file.where((ROUTE, number, key))
            yield f"{where}: the settings of {key} have no effect, since the handler of this route is {handler!r}"


def _ambiguous(reading: Reading, number: int, models: Sequence[type[SettingsModel]]) -> Iterator[tuple[str, str]]:
    """Flags and variables that would replace a route's own value, though there are other routes, with what is wrong."""
    if len(reading.file.routes) == 1:
        return
    for model in models:
        for name, field in model.model_fields.items():
            place = home(model, name)
            given = reading.overridden(model, name)
            if place is None or given is None or detail(field, "of_process"):
                continue
            of_handler = issubclass(model, HandlerSettings)
            own = (ROUTE, number, *(place if of_handler else place[1:]))
            if (of_handler or place[0] == PROCESSOR) and reading.file.value(own) is not None:
                yield (
                    given.called,
                    (
                        f"{given.called} would count for all {len(reading.file.routes)} routes, but one has a value of its own "
                        f"({reading.file.where(own)}): leave it out, or change the file"
                    ),
                )


def _never_matching(reading: Reading, routes: Collection[tuple[int, Route]]) -> Iterator[str]:
    """Queues of which the topics of their route match no message, and topics that match none of any queue.

    Other things than a listener may fill a queue, and then its name says nothing about its topics.
    """
    stored = set(names(reading.file, LISTENER))
    for number, route in routes:
        queues = route.settings.queues
        by_others = QUARANTINE in queues or (stored and not stored.issuperset(queues))
        if by_others or not queues or not route.topics:
            continue
        where = reading.file.where((ROUTE, number, "topics"))
        for queue in (one for one in queues if not any(overlaps(one, topic) for topic in route.topics)):
            yield f"{where}: topics: none of them matches a message of the queue {plain(queue)}: expected topics within the queues"
            break
        else:
            for topic in (one for one in route.topics if not any(overlaps(one, queue) for queue in queues)):
                yield f"{where}: topics: {plain(topic)} is in none of the queues: expected topics within the queues"


def _same_names(reading: Reading, routes: Collection[tuple[int, Route]]) -> Iterator[str]:
    first: dict[str, int] = {}
    for number, route in routes:
        other = first.setdefault(route.name, number)
        if other != number:
            where, before = reading.file.where((ROUTE, number)), reading.file.where((ROUTE, other))
            yield f"{where}: the route of {before} is also called {plain(route.name)}: expected another name for one of them"


def _unreachable(reading: Reading, routes: Sequence[tuple[int, Route]]) -> Iterator[str]:
    """Routes that never get a message, or none of one of their queues, since a route before them has it.

    A route without queues has those that are left, so it may follow others.
    """
    for index, (number, route) in enumerate(routes):
        for before, earlier in routes[:index]:
            theirs, mine = earlier.settings.queues, route.settings.queues
            taken = [one for one in mine if not theirs or one in theirs] if mine else [] if theirs else ["every queue"]
            if taken and all(any(covers(a, b) for a in earlier.topics or ("#",)) for b in route.topics or ("#",)):
                which = f"gets no message of {plain(taken[0])}" if mine else "gets no message"
                yield (
                    f"{reading.file.where((ROUTE, number))}: the route {plain(route.name)} {which}, "
                    f"since the route {plain(earlier.name)} ({reading.file.where((ROUTE, before))}) has them: "
                    f"expected other queues, or fewer topics in the earlier route"
                )
                break


def check(environ: Mapping[str, str]) -> None:
    """Raise SettingsError if a processor would reject ``environ``."""
    load_routes({}, environ)
