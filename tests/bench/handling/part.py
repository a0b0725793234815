"""Each handler next to the plainest program that does the same, on the same target in the same round."""

from collections.abc import Callable, Iterator

from bench.handling import many_routes, timing
from bench.handling.work import WORKS, Peer, Place, Work
from bench.measure import Figures, Goal, Round, Table


def _ours(work: Work) -> dict[int, str]:
    """By the number of calls at once."""
    return {calls: "fmq" if calls == 1 else f"fmq, {calls} calls at once" for calls in work.calls}


def _row(work: Work, at_once: int, who: str) -> str:
    return f"{work.step(at_once)}: {who}"


def _cpu(row: str) -> str:
    return f"{row}, processor time"


TABLES = (
    *(
        Table(
            f"handling-{number}-{at_once}",
            work.step(at_once).capitalize(),
            work.about if at_once == next(iter(work.steps)) else "",
            tuple(_row(work, at_once, who) for who in (*_ours(work).values(), *(peer.name for peer in work.peers))),
        )
        for number, work in enumerate(WORKS)
        for at_once in work.steps
    ),
    many_routes.TABLE,
)


def _goals(work: Work, at_once: int, peer: Peer) -> Iterator[Goal]:
    theirs = _row(work, at_once, peer.name)
    for calls, name in _ours(work).items():
        step = work.step(at_once) if calls == 1 else f"{work.step(at_once)}, {calls} calls at once"
        ours = _row(work, at_once, name)
        yield Goal(f"{step} / {peer.name}", ours, theirs, least=peer.least)
        yield Goal(f"{step}: messages per processor time / {peer.name}", _cpu(theirs), _cpu(ours))


GOALS = (
    *(goal for work in WORKS for at_once in work.steps for peer in work.peers for goal in _goals(work, at_once, peer)),
    *many_routes.GOALS,
)


def measure(turn: Round) -> Figures:
    """Messages a second, and microseconds of processor time per message."""
    figures = many_routes.measure(turn)
    for work in turn.in_turn(WORKS):
        figures |= measure_one(turn, work)
    return figures


def measure_one(turn: Round, work: Work) -> Figures:
    """The same, of one handler."""
    figures: Figures = {}
    with work.target(turn) as place:
        for at_once in work.steps:
            for who, run in turn.in_turn(_runs(turn, work, at_once, place)):
                cost = run()
                row = _row(work, at_once, who)
                figures |= {row: cost.rate, _cpu(row): cost.microseconds}
    return figures


def _runs(turn: Round, work: Work, at_once: int, place: Place) -> list[tuple[str, Callable[[], timing.Cost]]]:
    count = turn.scaled(work.steps[at_once])

    def ours(calls: int) -> Callable[[], timing.Cost]:
        return lambda: timing.of_processor(turn, count, {**work.tuned(at_once, calls), **place.settings()})

    def theirs(peer: Peer) -> Callable[[], timing.Cost]:
        some = max(1, int(count * peer.share))
        return lambda: timing.of_program(peer.kind, place.where(some), count=some, at_once=at_once)

    return [
        *((name, ours(calls)) for calls, name in _ours(work).items()),
        *((peer.name, theirs(peer)) for peer in work.peers),
    ]
