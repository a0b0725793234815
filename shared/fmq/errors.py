"""Every error that fmq raises on purpose. Each docstring is the default text."""


class FmqError(Exception):
    """fmq can't go on."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class SettingsError(FmqError):
    """The settings are wrong."""


class WrongOrder(SettingsError):
    """The queue is delivered in order and the processor does not ask for it, or the other way round."""


class HandlerError(FmqError):
    """The handler can't be loaded."""


class QueueError(FmqError):
    """The queue's store refused an operation."""


class UnknownQueue(QueueError):
    """No queue has that name."""


class StoreUnavailable(QueueError):
    """The store can't be written right now (full disk, I/O error, lock held too long); trying again may work."""


class StoreRefused(QueueError):
    """The store can't be opened as it is, and was left untouched; an operator has to act."""


class StoreDamaged(StoreRefused):
    """The store's file is damaged, and was left untouched."""
