"""Makes the parts of the web page and puts them together."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from fmq.clock import Clock
from fmq.store.backends import backend_of, open_store
from fmq.store.options import Durability
from fmq.store.roles import Store
from fmq_web.access.door import Door
from fmq_web.api.endpoints import ENDPOINTS
from fmq_web.http.dispatch import make_app
from fmq_web.http.metrics import WebMetrics
from fmq_web.live.sampler import Sampler
from fmq_web.operations.publisher import Publisher
from fmq_web.operations.runner import Runner
from fmq_web.pages import assets
from fmq_web.pages.render import render
from fmq_web.pages.routes import PAGES
from fmq_web.settings import WebSettings
from fmq_web.site import Site
from fmq_web.stores import Stores


class Web:
    """The site, its application, and what the server has to do for them. Close it with ``stack``.

    The store need not exist yet: it is opened by the first request that needs it. Raises SettingsError.
    """

    def __init__(self, settings: WebSettings, clock: Clock, registry: CollectorRegistry, stack: ExitStack) -> None:
        self._door = Door(settings, clock)
        stack.callback(self._door.close)
        stores = Stores(_opener(settings, clock))
        stack.callback(stores.close)
        runner = Runner(stores, clock)
        stack.callback(runner.close)
        self._sampler = Sampler(stores, clock, runner)
        self._publisher = None if settings.broker is None else Publisher(settings, settings.broker)
        self.site = Site(settings, clock, stores, runner, self._sampler, self._publisher)
        self.app: Starlette = make_app(
            self.site,
            ENDPOINTS,
            PAGES,
            render,
            door=self._door,
            find_asset=assets.find,
            metrics=WebMetrics(registry),
        )

    def each_second(self) -> None:
        """End the streams of the sessions that have ended."""
        for key in self._door.sweep():
            self._sampler.end_session(key)

    def stop(self) -> None:
        """End all streams, and a publication. The operations end when the stack is closed."""
        self._sampler.close()
        if self._publisher is not None:
            self._publisher.close()


def _opener(settings: WebSettings, clock: Clock) -> Callable[[], Store]:
    """Opens a store that exists. A listener creates it and checks its integrity."""
    backend_of(settings.queue_url)  # raises SettingsError for a URL that no backend knows
    options = replace(settings.store_options(Durability.NORMAL), check_integrity=False)
    return lambda: open_store(settings.queue_url, options, clock=clock, create=False)
