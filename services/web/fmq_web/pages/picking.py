"""The form below a list of messages: what to do with those that are ticked."""

from typing import Annotated, Literal

from pydantic import Field

from fmq.store.roles import Store
from fmq_web.http.route import Call, Redirect, Shown
from fmq_web.http.taking import taken
from fmq_web.operations.picked import MOST_IDS, change_picked
from fmq_web.pages import shown
from fmq_web.pages.acting import ThisQueue
from fmq_web.pages.asked import Listed
from fmq_web.pages.figures import plural
from fmq_web.pages.links import url
from fmq_web.views.asking import about
from fmq_web.views.message import number_of

_Id = Annotated[str, Field(max_length=20)]


class PickedForm(Listed):
    """The ticked messages, the list that shows them, and whether to delete them without asking."""

    kind: Literal["handle-again", "purge"]
    ids: Annotated[tuple[_Id, ...], Field(max_length=MOST_IDS)] = ()
    sure: bool = False


def change(call: Call, store: Store) -> Shown | Redirect:
    """Requeue them at once, or ask before they are deleted."""
    queue, form = taken(call.query, ThisQueue).queue, taken(call.body, PickedForm)
    back = url("/messages", queue=queue, **form.fields())
    if not form.ids:
        return Redirect(back, "No message is ticked.")
    if form.kind == "purge" and not form.sure:
        return shown.picked(queue, form.ids, form, back=back)
    with about(queue):
        receipt = change_picked(store, call.caller.name, form.kind, queue, [number_of(one) for one in form.ids])
    said = f"{'Deleted' if form.kind == 'purge' else 'Requeued'} {plural(receipt.changed, 'message')}."
    left = len(form.ids) - receipt.changed
    if left:
        said += f" {plural(left, 'other has', 'others have')} changed meanwhile."
    return Redirect(back, said)
