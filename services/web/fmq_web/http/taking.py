"""Gives a call's query or body its type."""

from typing import TypeVar

from fmq_web.http.route import Parameters

_P = TypeVar("_P", bound=Parameters)


def taken(parameters: Parameters, model: type[_P]) -> _P:
    """The same as what the route's table says that it is. Raises TypeError if the table says something else."""
    if not isinstance(parameters, model):
        raise TypeError(f"expected {model.__name__}, got {type(parameters).__name__}")
    return parameters
