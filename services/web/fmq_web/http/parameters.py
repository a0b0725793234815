"""Reads and checks queries and bodies."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from starlette.requests import ClientDisconnect, Request

from fmq.text import plain
from fmq_web.http.problems import Problem
from fmq_web.http.route import Parameters

_P = TypeVar("_P", bound=Parameters)
LARGEST_BODY = 64 * 1024
BODY_SECONDS = 10.0
_MOST_DRAINED = 1024 * 1024
"""Read and dropped, so that the client gets its answer: closing a connection with unread data resets it."""
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 1_000
_MOST_SHOWN = 5


def read_query(request: Request, model: type[_P], *, is_page: bool) -> _P:
    """The checked query. A page's empty fields count as not given, since forms send them. Raises Problem (400, 422)."""
    return _check(model, _fields(request.scope["query_string"], model, skip_empty=is_page))


async def read_body(request: Request, model: type[_P] | None, media: str) -> _P | None:
    """The checked body, which has to be of the type ``media``. None without a model; then only an empty body will do.

    Raises Problem: 400 for what can't be read, 408 if it takes too long, 413 above 64 KiB, 415 for another type, 422 for wrong
    contents.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data = await _bytes(request)
    except TimeoutError:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "The body took too long.", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "The connection ended within the body.") from None
    if model is None:
        if data:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "No body is expected here.")
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != media:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The body has to be {media}.")
    return _check(model, _json(data) if media == JSON else _fields(data, model, skip_empty=True))


async def _bytes(request: Request) -> bytes:
    parts, size = [], 0
    declared = request.headers.get("content-length", "0")
    too_large = Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"A body may have {LARGEST_BODY} bytes.",
        headers={"Connection": "close"},
    )
    if not declared.isdecimal() or int(declared[:20]) > _MOST_DRAINED:
        raise too_large
    async for part in request.stream():
        size += len(part)
        if size > _MOST_DRAINED:
            raise too_large
        if size <= LARGEST_BODY:
            parts.append(part)
    if size > LARGEST_BODY:
        raise too_large
    return b"".join(parts)


def _json(data: bytes) -> object:
    try:
        return json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is not JSON.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_duplicates(name for name, _ in pairs)
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _fields(data: bytes, model: type[Parameters], *, skip_empty: bool) -> Mapping[str, object]:
    """The fields of a query or a form. Only a field that takes several values may be given more than once."""
    try:
        pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, "The parameters are not urlencoded UTF-8 text.") from None
    several = {name for name, field in model.model_fields.items() if _takes_several(field)}
    values: dict[str, object] = {name: [v for n, v in pairs if n == name] for name, _ in pairs if name in several}
    single = [(name, value) for name, value in pairs if name not in several and not (skip_empty and value == "")]
    _refuse_duplicates(name for name, _ in single)
    return values | dict(single)


def _refuse_duplicates(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{_shown(name)} is given more than once.")
        seen.add(name)


def _takes_several(field: FieldInfo) -> bool:
    kinds = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else (field.annotation,)
    return any(get_origin(kind) in (list, tuple) for kind in kinds)


def _check(model: type[_P], values: object) -> _P:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # Without the given values: they may be contents of messages, or secrets.
        found = error.errors(include_url=False, include_context=False, include_input=False)
        texts = [_explain(one["loc"], one["type"], one["msg"]) for one in found[:_MOST_SHOWN]]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, " ".join(texts)) from None


def _explain(where: tuple[int | str, ...], kind: str, message: str) -> str:
    name = _shown(".".join(map(str, where))) or "The body"
    match kind:
        case "extra_forbidden":
            return f"Unknown parameter {name}."
        case "missing":
            return f"{name} is missing."
        case _:
            return f"{name}: {message.removeprefix('Value error, ')}."


def _shown(name: str) -> str:
    return plain(name[:100])
