"""The API as an OpenAPI 3.1 document, made from the table of endpoints."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

import fmq
from fmq_web.answers.base import Answer
from fmq_web.http.peer.caller import Role
from fmq_web.http.route import Endpoint, NoParameters, Parameters

Json = dict[str, Any]
_TEMPLATE = "#/components/schemas/{model}"
_IN_PATH = re.compile(r"\{(\w+)\}")
_PROBLEM: Json = {
    "type": "object",
    "description": "What is wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_PROBLEMS = {
    "400": "The request can't be read.",
    "401": "Sign in, or send a token.",
    "403": "The caller's role does not allow it, or contents are hidden.",
    "404": "The queue, message or operation does not exist (any more).",
    "409": "It can't be done now, or not twice.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "A parameter is unknown or invalid.",
    "503": "The store can't be read, or the broker not reached, at the moment.",
    "504": "The broker has not acknowledged a message; it may have got it.",
    "default": "Another problem.",
}
_ONLY_FOR_POST = ("409", "413", "415")
SESSION_COOKIE = "fmq-9466"
"""On the usual port: the cookie's name has the port in it."""


def document(endpoints: Sequence[Endpoint]) -> Json:
    """The whole document, as JSON values."""
    wanted = list(_models(endpoints))
    refs, definitions = models_json_schema(wanted, ref_template=_TEMPLATE)
    paths: dict[str, Json] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "fmq", "version": fmq.__version__, "description": "See and repair fmq's queues."},
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token, made by fmq web token."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": SESSION_COOKIE,
                    "description": "Made by signing in.",
                },
            },
        },
    }


def _models(endpoints: Sequence[Endpoint]) -> Iterator[tuple[type[Answer | Parameters], JsonSchemaMode]]:
    known: set[type] = set()
    for one in endpoints:
        pairs: tuple[tuple[type[Answer | Parameters] | None, JsonSchemaMode], ...] = (
            (one.answer, "serialization"),
            (one.body, "validation"),
        )
        for model, mode in pairs:
            if model is not None and model not in known:
                known.add(model)
                yield model, mode


def _operation(one: Endpoint, refs: Mapping[tuple[Any, JsonSchemaMode], Json]) -> Json:
    found: Json = {
        "summary": one.about,
        "operationId": operation_id(one),
        "parameters": [*_path_parameters(one), *_query_parameters(one)],
        "responses": _responses(one, refs),
        "security": [{}] if one.role is Role.ANYONE else [{"bearer": []}, {"session": []}],
        "x-role": one.role.value,
    }
    if one.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": refs[one.body, "validation"]}},
        }
    return found


def operation_id(one: Endpoint) -> str:
    """A name that is unique within the API."""
    words = [word for word in re.split(r"\W+", one.path.removeprefix("/api/v1")) if word]
    return "_".join([one.method.lower(), *words])


def _responses(one: Endpoint, refs: Mapping[tuple[Any, JsonSchemaMode], Json]) -> Json:
    schema: Json = {"schema": refs[one.answer, "serialization"]} if one.answer else {}
    problem = {"application/problem+json": {"schema": {"$ref": _TEMPLATE.format(model="Problem")}}}
    return {
        "200": {"description": one.about, "content": {one.media: schema}},
        **{
            status: {"description": text, "content": problem}
            for status, text in _PROBLEMS.items()
            if one.method == "POST" or status not in _ONLY_FOR_POST
        },
    }


def _path_parameters(one: Endpoint) -> list[Json]:
    schema = (
        {"type": "string", "pattern": "^[0-9]{1,19}$"}
        if "/messages/" in one.path
        else {"type": "string", "minLength": 1}
    )
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in _IN_PATH.findall(one.path)]


def _query_parameters(one: Endpoint) -> list[Json]:
    if one.query is NoParameters:
        return []
    described = one.query.model_json_schema(mode="validation")
    return [
        {
            "name": name,
            "in": "query",
            "required": name in described.get("required", ()),
            **({"description": schema["description"]} if "description" in schema else {}),
            "schema": _given(schema),
        }
        for name, schema in described["properties"].items()
    ]


def _given(schema: Json) -> Json:
    """The schema of a query parameter: one that is not given has no value, rather than null."""
    found = {key: value for key, value in schema.items() if key not in ("title", "description", "default")}
    kinds = [kind for kind in found.pop("anyOf", ()) if kind != {"type": "null"}]
    for kind in kinds:
        found = {**found, **kind}
    if schema.get("default") is not None:
        found["default"] = schema["default"]
    return found
