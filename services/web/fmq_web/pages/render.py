"""Turns templates and values into HTML.

Three rules make text from outside harmless. Everything is escaped (autoescape, and no template turns that off). Every value
printed goes through ``_finalize``, which replaces what a reader can't see by visible escapes, so no template can forget it. And
only text and whole numbers are printed: None, a float or a model is a mistake in a template and raises.
"""

from collections.abc import Mapping

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined, Undefined
from markupsafe import Markup, escape

from fmq_web.answers.queues import Overview
from fmq_web.http.peer.caller import Caller, Role
from fmq_web.http.route import Shown
from fmq_web.pages import assets, charts, figures, times
from fmq_web.pages.links import url
from fmq_web.showing.text import flat, parts

_SHORT = 200


class Exact(str):
    """Text whose every character counts, such as the name of a queue in a hidden field. Only for attributes."""

    __slots__ = ()


class Lines(str):
    """Text of several lines, which keeps its line feeds and tabs."""

    __slots__ = ()


def short(text: str, most: int = _SHORT) -> str:
    """The start of a long text, and how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _finalize(value: object) -> object:
    if type(value) is str:  # the most frequent kind by far
        return flat(value)
    if isinstance(value, Markup | Undefined):  # Undefined: printing it raises
        return value
    if isinstance(value, Exact):
        whole = value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
        return escape(whole).replace("\r", Markup("&#13;"))
    if isinstance(value, Lines):
        return flat(value, lines=True)
    if isinstance(value, str):
        return flat(value)
    if type(value) is int:
        return value
    raise TypeError(f"a template prints a {type(value).__name__}")


def _may_operate(caller: Caller | None) -> bool:
    return caller is not None and caller.role.includes(Role.OPERATE)


def environment(loader: BaseLoader) -> Environment:
    """The templates' environment."""
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        auto_reload=False,  # the code that fills the templates does not change either
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "exact": Exact,
        "lines": Lines,
        "short": short,
        "count": figures.count,
        "capped": figures.capped,
        "rate": figures.rate,
        "duration": figures.duration,
        "precise": figures.precise,
        "size": figures.size,
        "utc": times.utc,
        "iso": times.iso,
    }
    made.globals |= {
        "url": url,
        "parts": parts,
        "asset": assets.path_of,
        "plural": figures.plural,
        "last_hour": charts.last_hour,
        "may_operate": _may_operate,
    }
    return made


_ENVIRONMENT = environment(PackageLoader("fmq_web.pages"))


class _Memory:
    """The last overview that was shown, for when the store can't be read."""

    last: Overview | None = None


def render(shown: Shown, caller: Caller | None, said: str) -> str:
    """The HTML of a page. ``caller`` is None if nobody has signed in, ``said`` is a notice, or empty."""
    answer = shown.values.get("overview")
    if isinstance(answer, Overview):
        _Memory.last = answer
    may_read = caller is not None and caller.role.includes(Role.READ)
    return render_with(_ENVIRONMENT, shown, caller, said, last=_Memory.last if may_read else None)


def render_with(
    templates: Environment, shown: Shown, caller: Caller | None, said: str, *, last: Overview | None = None
) -> str:
    """The same with other templates."""
    common: Mapping[str, object] = {"user_now": caller, "said": said, "last": last}
    return templates.get_template(shown.template).render({**common, **shown.values})
