"""The OpenAPI document describes what the API does: schemathesis finds no difference."""

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from fmq_web.api.endpoints import ENDPOINTS
from fmq_web.api.openapi import document, operation_id
from support.web.api import Api
from support.web.filled import EMPTY, QUEUE

_STREAM = "/api/v1/stream"


def test_the_document(api: Api) -> None:
    """It is served, and has each endpoint under a name of its own."""
    found = api.get("openapi.json").json
    assert found == json.loads(json.dumps(document(ENDPOINTS)))
    operations = {(method, path): one for path, methods in found["paths"].items() for method, one in methods.items()}
    assert operations.keys() == {(one.method.lower(), one.path) for one in ENDPOINTS}
    assert len({operation_id(one) for one in ENDPOINTS}) == len(ENDPOINTS)
    assert all(one["security"] == [{"bearer": []}, {"session": []}] for one in operations.values())


def test_every_parameter_has_its_limits(api: Api) -> None:
    """Text has a largest length, numbers have bounds, and no query parameter can be null."""
    found = api.get("openapi.json").json
    for methods in found["paths"].values():
        for one in methods.values():
            for parameter in one["parameters"]:
                schema = parameter["schema"]
                if parameter["in"] == "path":
                    continue
                assert "null" not in json.dumps(schema)
                if "enum" not in schema:
                    wanted = "maxLength" if schema["type"] == "string" else "minimum"
                    assert wanted in schema, parameter


class Current:
    """The application of the running test: the cases are made before any test runs."""

    app: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


CURRENT = Current()
# A body that breaks its limits may be so long that it is refused before anybody reads it.
_REFUSED = [400, 401, 403, 404, 405, 409, 413, 415, 422]
_CHECKS = {"checks": {"negative_data_rejection": {"expected-statuses": _REFUSED}}}
SCHEMA = schemathesis.openapi.from_dict(document(ENDPOINTS), config=SchemathesisConfig.from_dict(_CHECKS))
SCHEMA.app = CURRENT


@SCHEMA.exclude(path=_STREAM).parametrize()
@SCHEMA.given(name=st.sampled_from([QUEUE, EMPTY, None]), number=st.sampled_from(["1", "2", "8", None]))
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_schemathesis(case: schemathesis.Case[Any], api: Api, name: str | None, number: str | None) -> None:
    """Valid and invalid calls: what comes back is described, has the right type, and is never an error of fmq's own.

    Valid calls are of queues and messages that exist, two times out of three.
    """
    CURRENT.app = api.app
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        case.query.pop("before", None)  # only the server makes cursors
        for place in (case.query, case.body):
            for key in ("queue", "name"):
                if isinstance(place, dict) and key in place:
                    place[key] = name or place[key]
        if "/messages/{id}" in case.path:
            case.path_parameters["id"] = number or case.path_parameters["id"]
    case.call_and_validate(base_url="http://127.0.0.1", headers=api.headers, excluded_checks=[ignored_auth])
