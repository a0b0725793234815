"""The overview in a sentence or two, for a page's first line."""

from collections.abc import Sequence

from fmq.service.log import shorten
from fmq.text import counted, plain
from fmq_web.answers.activity import ServiceView
from fmq_web.answers.queues import Counts, Need
from fmq_web.showing.words import duration, listed, spelled
from fmq_web.views.services import at_work

_LONGEST_NAME = 60
_NAMED = 2
"""How many queues a sentence names."""


def summary(queues: Sequence[Counts], needs: Sequence[Need]) -> str:
    """What needs a person, or that nothing does. ``needs`` are those of the store as a whole."""
    whole = listed([one.text for one in needs])
    if not queues:
        return _sentence(whole or "the store has no queues yet")
    needy = [one for one in queues if one.needs]
    if not needy:
        return _sentence(
            whole or (f"none of {len(queues):,} queues needs you" if len(queues) > 1 else "nothing needs you")
        )
    said = [f"{called(one.name)} {one.needs[0].text}" for one in needy[:_NAMED]]
    if len(needy) > _NAMED:
        said.append(f"{len(needy) - _NAMED:,} more")
    verb = "needs" if len(needy) == 1 else "need"
    count = f"{len(needy):,} of {counted(len(queues), 'queue')} {verb} you: {listed(said)}"
    return _sentence(f"{whole}, and {count}" if whole else count)


def detail(queues: Sequence[Counts], known: Sequence[ServiceView]) -> str:
    """What waits, and who is at work."""
    if not queues:
        return "A listener creates them: fmq listen TOPIC."
    waiting = sum(one.waiting for one in queues)
    oldest = max((one.oldest_seconds for one in queues if one.oldest_seconds is not None), default=0.0)
    if not waiting:
        waits = "No message waits."
    elif waiting == 1:
        waits = f"1 message has waited for {duration(oldest)}."
    else:
        waits = f"{counted(waiting, 'message')} wait, the oldest {duration(oldest)}."
    return f"{waits} {_who(known)}"


def called(name: str) -> str:
    """A queue's name for a sentence: short and harmless."""
    return plain(shorten(name, _LONGEST_NAME))


def _who(known: Sequence[ServiceView]) -> str:
    listeners, processors = len(at_work(known, "listener")), len(at_work(known, "processor"))
    if not listeners and not processors:
        return "No listener and no processor is at work."
    if not listeners or not processors:
        there, missing = (processors, "listener") if processors else (listeners, "processor")
        kind = "processor" if processors else "listener"
        return f"{_sentence(spelled(there, kind), '')} {'is' if there == 1 else 'are'} at work, but no {missing}."
    return f"{_sentence(spelled(listeners, 'listener'), '')} and {spelled(processors, 'processor')} are at work."


def _sentence(text: str, end: str = ".") -> str:
    return f"{text[0].upper()}{text[1:]}{end}"
