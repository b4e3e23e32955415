"""The inference port describes itself: every path, every status that is sent, and nothing else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.rest.app import Metadata
from gateway.rest.openapi import BEFORE, JUDGED, OPERATIONS, ORDERS, describe_port
from gateway.rest.problems import TABLE
from tests.rest.door import ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.rest.door import FakeDoor


def served() -> set[tuple[str, str]]:
    """Return the verbs and paths of the route table; Starlette answers HEAD wherever it answers GET."""
    nothing = cast("Any", None)
    routes = cast("Sequence[Any]", Metadata(nothing, nothing, nothing, dict, nothing, nothing).app().routes)
    return {(method, route.path) for route in routes for method in route.methods - {"HEAD"}}


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_path_that_is_served_is_described_and_no_other() -> None:
    described = [(method, path) for method, path, _ in operations(describe_port())]

    assert set(described) == served()
    assert len(described) == len(OPERATIONS)


def test_the_document_refers_to_what_it_holds_and_holds_nothing_else() -> None:
    document = describe_port()

    referred = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert referred == set(document["components"]["schemas"])


def test_every_parameter_of_a_path_is_named_and_every_operation_has_a_name_of_its_own() -> None:
    names = set()
    for _, path, operation in operations(describe_port()):
        assert {p["name"] for p in operation["parameters"] if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
        names.add(operation["operationId"])

    assert len(names) == len(OPERATIONS)


def test_inference_names_every_status_of_the_table_of_errors() -> None:
    statuses = {"200", *map(str, BEFORE), *(str(TABLE[error][0]) for error in TABLE if error not in (*ORDERS, *JUDGED))}

    for _, path, operation in operations(describe_port()):
        assert set(operation["responses"]) == statuses or not path.endswith("/infer")


def test_every_answer_to_a_request_carries_its_id() -> None:
    for _, _, operation in operations(describe_port()):
        for status, answer in operation["responses"].items():
            assert "x-request-id" in answer["headers"] or int(status) in BEFORE


@pytest.mark.parametrize(
    ("method", "path", "filled"),
    [
        ("GET", "/v2/models/{model}", "/v2/models/ghost"),
        ("GET", "/v2/models/{model}/versions/{version}", "/v2/models/fraud/versions/9"),
        ("GET", "/v2/models/{model}/ready", "/v2/models/fraud/ready"),
        ("GET", "/v2/models/{model}/versions/{version}/ready", "/v2/models/fraud/versions/2/ready"),
        ("GET", "/v2/health/ready", "/v2/health/ready"),
        ("POST", "/v2/repository/index", "/v2/repository/index"),
        ("POST", "/v2/models/{model}/infer", "/v2/models/fraud/infer"),
    ],
)
async def test_what_is_sent_has_the_members_that_are_described(
    door: FakeDoor, method: str, path: str, filled: str
) -> None:
    document = (await door.ask("GET", "/openapi.json")).json

    reply = await door.ask(method, filled, json.dumps(ROW).encode() if path.endswith("/infer") else b"")

    described = document["paths"][path][method.lower()]["responses"][str(reply.status)]
    name = described["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    answer = reply.json[0] if schema["type"] == "array" else reply.json
    assert set(schema.get("items", schema)["required"]) <= set(answer) <= set(schema.get("items", schema)["properties"])
