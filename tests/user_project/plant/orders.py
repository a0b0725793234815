"""An async handler that is a class with settings, metrics and typed payloads."""

from typing import ClassVar

from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel, PositiveInt, SecretStr

import fmq
from fmq.handler import HandlerSettings, setting


class Order(BaseModel):
    """The payload."""

    item: str
    count: PositiveInt


class ShopSettings(HandlerSettings):
    """Read from FMQ_SHOP_LIMIT and FMQ_SHOP_KEY."""

    shop_limit: int = setting(10, about="Largest order.", expected="a whole number, such as 10", ge=1)
    shop_key: SecretStr | None = setting(None, about="The key of the shop.", expected="a key")


class Shop:
    """Counts orders."""

    Settings: ClassVar[type[HandlerSettings]] = ShopSettings

    def __init__(self, settings: ShopSettings, registry: CollectorRegistry) -> None:
        self._limit = settings.shop_limit
        self._orders = Counter("shop_orders", "Orders sent.", registry=registry)
        self.is_open = False

    async def setup(self) -> None:
        """Runs once, before the first order."""
        self.is_open = True

    async def handle(self, order: Order) -> fmq.Outcome:
        """Send one order."""
        if order.count > self._limit:
            return fmq.Dead(f"{order.count} are too many")
        self._orders.inc(order.count)
        return fmq.Done() if self.is_open else fmq.RetryLater(60)

    async def teardown(self) -> None:
        """Runs once, after the last order."""
        self.is_open = False
