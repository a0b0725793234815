"""The errors of fmq. Each docstring is the default text."""


class FmqError(Exception):
    """fmq can't go on."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class SettingsError(FmqError):
    """The settings are invalid."""


class WrongOrder(SettingsError):
    """The queue is delivered in order and the processor works without order, or the reverse."""


class HandlerError(FmqError):
    """The handler can't be loaded."""


class UnknownMessage(FmqError):
    """No message has that id."""


class Stopped(FmqError):
    """A signal ended a command before it was done."""

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal


class QueueError(FmqError):
    """The queue's store refused an operation."""


class UnknownQueue(QueueError):
    """No queue has that name."""


class QueueInUse(QueueError):
    """The queue can't be deleted: it has messages, or a listener fills it."""


class StoreUnavailable(QueueError):
    """The store can't be written at the moment (full disk, I/O error, lock held too long). Trying again may work."""


class StoreRefused(QueueError):
    """The store can't be opened and was not changed. An operator has to act."""


class NoStore(StoreRefused):
    """This place has no store yet. A listener creates it."""


class LoginRefused(StoreRefused):
    """The server refuses the user, the password or the database. The settings are wrong, or the server's rules."""


class StoreDamaged(StoreRefused):
    """The store's file is damaged. It was not changed."""
