"""The targets of forms. Each does one thing, then leads to a page that shows it."""

from http import HTTPStatus

from pydantic import Field

from fmq.store.roles import Store
from fmq.store.selection import State
from fmq_web.answers.activity import OperationKind
from fmq_web.http.problems import Problem, conflict
from fmq_web.http.route import Call, Parameters, Redirect, Shown
from fmq_web.http.taking import taken
from fmq_web.operations.kinds import KINDS
from fmq_web.operations.picked import change_picked
from fmq_web.operations.publisher import required
from fmq_web.pages import shown
from fmq_web.pages.asked import LONGEST, Chosen
from fmq_web.pages.figures import plural
from fmq_web.pages.links import url
from fmq_web.views.asking import about
from fmq_web.views.message import number_of


class ThisQueue(Parameters):
    """The queue, in the form's address: there every character counts."""

    queue: str = Field(min_length=1, max_length=LONGEST)


class PauseForm(Parameters):
    """Why a queue is paused."""

    reason: str = Field("by an operator", max_length=1_000)


class PreviewForm(Chosen):
    """What to change."""

    kind: OperationKind


class StartForm(Parameters):
    """Which dry run to carry out, and how fast, in messages per second. ``name`` confirms a queue."""

    token: str = Field(max_length=200)
    rate: float | None = Field(None, gt=0, le=1_000_000, allow_inf_nan=False)
    name: str = Field("", max_length=LONGEST)


class ThisMessage(ThisQueue):
    """A message."""

    id: str = Field(max_length=20)


class PublishForm(Parameters):
    """``form`` is the form's mark, which the page got from Publisher.new_form."""

    form: str = Field(max_length=100)
    retain: bool = False


class ThisOperation(Parameters):
    """An operation."""

    id: str = Field(max_length=200)


def pause(call: Call, store: Store) -> Redirect:
    """The first pause stands, with its reason."""
    name, reason = taken(call.query, ThisQueue).queue, taken(call.body, PauseForm).reason
    with about(name):
        if not store.pause(name, reason):
            raise conflict("The queue is already paused. Resume it first, to give another reason.")
    _note(call, store, "pause", name, reason)
    return Redirect(url("/queue", name=name), "Paused. Messages are still stored, and none is delivered.")


def resume(call: Call, store: Store) -> Redirect:
    name = taken(call.query, ThisQueue).queue
    with about(name):
        if not store.resume(name):
            raise conflict("The queue is not paused.")
    _note(call, store, "resume", name)
    return Redirect(url("/queue", name=name), "Resumed.")


def preview(call: Call, store: Store) -> Shown | Redirect:
    """Counts what an operation would change and asks. Requeues few dead letters at once."""
    name = taken(call.query, ThisQueue).queue
    form = taken(call.body, PreviewForm).at(call.site.clock.wall())
    which = form.which(KINDS[form.kind].state if form.kind in KINDS else State.ANY)
    back = _back(name, form)
    with about(name):
        if form.kind == "requeue":
            try:
                done = call.site.operations.start_small(store, call.caller.name, name, which)
            except Problem:
                pass  # too many to do it unasked, or another one runs: the next page says so
            else:
                return Redirect(back, f"Requeued {plural(done.changed, 'message')}.")
        run = call.site.operations.dry_run(store, call.caller.name, form.kind, name, which)
    download = None
    if form.kind == "purge" and call.site.settings.web_show_payloads:
        download = shown.export(name, form)
    return shown.preview(run, back=back, download=download)


def start(call: Call, _store: Store) -> Redirect:
    form = taken(call.body, StartForm)
    plan = call.site.operations.planned(form.token, call.caller.name)
    if plan.kind in shown.CONFIRMED_BY_NAME and form.name not in (plan.queue, shown.typed(plan.queue)):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "That is not the name of the queue. Nothing was deleted.")
    begun = call.site.operations.start(form.token, call.caller.name, form.rate)
    return Redirect("/activity", f"Started: {begun.kind.replace('-', ' ')} of {plural(begun.total, 'message')}.")


def cancel(call: Call, _store: Store) -> Redirect:
    view = call.site.operations.cancel(taken(call.query, ThisOperation).id, call.caller.name)
    return Redirect("/activity", f"Cancelled after {plural(view.changed, 'message')}.")


def handle_again(call: Call, store: Store) -> Redirect:
    asked = taken(call.query, ThisMessage)
    with about(asked.queue):
        receipt = change_picked(store, call.caller.name, "handle-again", asked.queue, [number_of(asked.id)])
    if not receipt.changed:
        raise conflict("The message is not settled, or is gone. Look at it again.")
    return Redirect(url("/message", queue=asked.queue, id=asked.id), "It is going to be handled again.")


def publish(call: Call, store: Store) -> Redirect:
    asked, form = taken(call.query, ThisMessage), taken(call.body, PublishForm)
    publisher = required(call.site.publisher)
    back = url("/message", queue=asked.queue, id=asked.id)
    if not publisher.is_first(form.form):
        return Redirect(back, "This was sent already, and not published twice. Activity shows what became of it.")
    with about(asked.queue):
        done = publisher.publish(store, call.caller.name, asked.queue, number_of(asked.id), retain=form.retain)
    said = "Published again. The message here is as it was."
    if not done.with_properties:
        said += " Its properties were left out, since FMQ_MQTT_VERSION is 3.1.1."
    if done.nobody_subscribes:
        said += " Nobody subscribes to its topic."
    return Redirect(back, said)


def _back(name: str, form: PreviewForm) -> str:
    """Where the form was."""
    if form.kind in ("delete-queue", "purge-queue"):
        return url("/queue", name=name)
    fields = form.chosen()
    if not fields.keys() - {"group"}:
        return url("/dead", queue=name)
    state = "done" if form.kind == "handle-again" else "dead"
    return url("/messages", queue=name, state=state, **fields)


def _note(call: Call, store: Store, kind: str, queue: str, selection: str = "") -> None:
    """A row in the audit."""
    number = store.begin_action(actor=call.caller.name, kind=kind, queue=queue, selection=selection)
    store.end_action(number, changed=0)
