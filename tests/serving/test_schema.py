"""Requests of all shapes that the schema allows or forbids: never a 500, never an answer the schema does not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from serving import served
from serving.served import ADMIN, FACTS, Served
from ultraedit.serving.app import build

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.ignored_auth,
]
"""All but the one that wants no valid request refused: a version may have moved, a mark may not be there."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served.serving(tmp_path_factory.mktemp("schema")) as made:
        made.edit(*FACTS[:3])
        yield made


@pytest.fixture
def described(server: Served) -> Any:
    app = build(server.service, served.keys(), hosts=["testserver"])
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", app, headers={"Authorization": f"Bearer {ADMIN}"}
    )
    return schema.exclude(path="/events")  # it never ends


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_any_request(described: Any, mode: GenerationMode) -> None:
    asked = 0
    for found in described.get_all_operations():
        try:
            cases = found.ok().as_strategy(generation_mode=mode)
            cases.validate()
        except Unsatisfiable:  # an endpoint without parameters takes no wrong ones
            continue

        @settings(
            max_examples=6,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(headers={"Authorization": f"Bearer {ADMIN}"}, checks=CHECKS)

        with suppress(Unsatisfiable):
            ask()
    assert asked > 60


def test_the_schema_says_every_status_with_the_error_body(server: Served) -> None:
    described = server.client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for status in ("400", "401", "403", "404", "409", "412", "422", "429", "500", "503"):
                body = operation["responses"][status]["content"]["application/json"]["schema"]
                assert body["$ref"].endswith("/ErrorBody"), (path, method, status)


def test_what_may_be_done_at_an_address(server: Served) -> None:
    allow = {
        path: server.client.request("PATCH", path).headers["Allow"]
        for path in ("/edits/1", "/edits", "/marks/a", "/v1/models/x/y")
    }
    assert allow == {
        "/edits/1": "DELETE, GET", "/edits": "GET, POST", "/marks/a": "DELETE, PUT", "/v1/models/x/y": "GET",
    }  # fmt: skip
