"""The endpoints that change something. Each leaves a row in the audit, with the caller's name."""

from fmq.store.roles import Store
from fmq.store.selection import State
from fmq_web.answers.activity import DryRun, OperationView
from fmq_web.answers.messages import Publication, Receipt
from fmq_web.api import parameters as given
from fmq_web.http.problems import conflict
from fmq_web.http.route import Call
from fmq_web.http.taking import taken
from fmq_web.operations.kinds import KINDS
from fmq_web.operations.picked import PickedKind, change_picked
from fmq_web.operations.publisher import required
from fmq_web.views.asking import about
from fmq_web.views.message import detail, number_of


def pause(call: Call, store: Store) -> Receipt:
    """The first pause stands, with its reason."""
    body = taken(call.body, given.PauseBody)
    with about(body.queue):
        if not store.pause(body.queue, body.reason):
            raise conflict("The queue is already paused. Resume it first, to give another reason.")
    _note(call, store, "pause", body.queue, body.reason)
    return Receipt(changed=1)


def resume(call: Call, store: Store) -> Receipt:
    body = taken(call.body, given.OneQueue)
    with about(body.queue):
        if not store.resume(body.queue):
            raise conflict("The queue is not paused.")
    _note(call, store, "resume", body.queue)
    return Receipt(changed=1)


def handle_again(call: Call, store: Store) -> Receipt:
    """One message, handled or dead, becomes pending."""
    name = taken(call.body, given.OneQueue).queue
    found = detail(store, name, call.path["id"], head_bytes=0).head
    if found.state not in (State.DONE, State.DEAD):
        raise conflict("The message is not settled yet: it is going to be handled anyway.")
    receipt = change_picked(store, call.caller.name, "handle-again", name, [found.id])
    if receipt.changed == 0:
        raise conflict("The message has changed meanwhile. Look at it again.")
    return receipt


def requeue_picked(call: Call, store: Store) -> Receipt:
    """Those of the messages that are handled or dead become pending."""
    return _change_picked(call, store, "handle-again")


def purge_picked(call: Call, store: Store) -> Receipt:
    """Those of the messages that are handled or dead are deleted."""
    return _change_picked(call, store, "purge")


def _change_picked(call: Call, store: Store, kind: PickedKind) -> Receipt:
    body = taken(call.body, given.PickedBody)
    with about(body.queue):
        return change_picked(store, call.caller.name, kind, body.queue, [number_of(one) for one in body.ids])


def publish(call: Call, store: Store) -> Publication:
    """The message as it came, to the broker. It stays as it is here."""
    body = taken(call.body, given.PublishBody)
    publisher = required(call.site.publisher)
    with about(body.queue):
        return publisher.publish(store, call.caller.name, body.queue, number_of(call.path["id"]), retain=body.retain)


def dry_run(call: Call, store: Store) -> DryRun:
    body = taken(call.body, given.DryRunBody)
    which = body.selection.which(KINDS[body.kind].state if body.kind in KINDS else State.ANY)
    with about(body.queue):
        return call.site.operations.dry_run(store, call.caller.name, body.kind, body.queue, which)


def start(call: Call, _store: Store) -> OperationView:
    body = taken(call.body, given.StartBody)
    return call.site.operations.start(body.token, call.caller.name, body.rate)


def cancel(call: Call, _store: Store) -> OperationView:
    return call.site.operations.cancel(call.path["id"], call.caller.name)


def _note(call: Call, store: Store, kind: str, queue: str, selection: str = "") -> None:
    number = store.begin_action(actor=call.caller.name, kind=kind, queue=queue, selection=selection)
    store.end_action(number, changed=0)
