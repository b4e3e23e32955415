"""Feedback over gRPC, over a real connection and with a client that learns the service by reflection."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from grpc import StatusCode
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from gateway.core import errors
from gateway.rpc.feedback import MESSAGES, METHOD, SERVICE
from gateway.serving import feedback as room
from tests.rpc.door import RpcDoor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from gateway.core.feedback import Fact
    from tests.rpc.door import Said

ROOT = Path(__file__).parents[2]
NUMBERS = {FieldDescriptor.TYPE_DOUBLE: "double", FieldDescriptor.TYPE_INT32: "int32"}


class Desk:
    """Implements ``ports.Feedback``: what comes of a fact is what its id says."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.is_slow = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def take(self, model: str, facts: Sequence[Fact]) -> Sequence[str | errors.GatewayError]:
        self.is_slow.set()
        await self.go_on.wait()
        self.facts += facts
        if any(fact.id == "away" for fact in facts):
            raise errors.StoreUnavailable("the store does not answer")
        came: dict[str, errors.GatewayError] = {
            "ghost": errors.UnknownPrediction(model, "ghost"),
            "late": errors.LabelTooLate(model, "late"),
            "other": errors.LabelConflict(model, "other", "label"),
            "rows": errors.InvalidRequest("label: has 2 rows", "invalid_feedback"),
        }
        return [came.get(fact.id, "duplicate" if fact.id == "twice" else "counted") for fact in facts]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def door(desk: Desk) -> AsyncIterator[RpcDoor]:
    door = RpcDoor(timeout=20.0, max_body=3 << 20, desk=desk)
    await door.open()
    yield door
    await door.close()


async def send(door: RpcDoor, *items: dict[str, Any], model: str = "fraud") -> Said:
    return await door.call(METHOD, MESSAGES["SendRequest"](model_name=model, items=items), service=SERVICE)


def label(name: str) -> dict[str, Any]:
    return {"id": name, "label": {"rows": ["1"]}}


async def test_labels_values_and_rewards_are_the_facts_that_json_would_make(door: RpcDoor, desk: Desk) -> None:
    said = await send(
        door,
        {"id": "a", "label": {"rows": ["1", "b"]}},
        {"id": "b", "value": {"rows": [0.5, 2]}},
        {"id": "c", "reward": -1},
    )

    assert said.code is StatusCode.OK
    assert [(fact.id, fact.kind, fact.given, fact.is_value) for fact in desk.facts] == [
        ("a", "label", ("1", "b"), False), ("b", "label", ("0.5", "2"), True), ("c", "reward", ("-1",), False),
    ]  # fmt: skip
    assert [(each.id, each.status, each.code) for each in said.message.results] == [
        (name, "counted", 0) for name in "abc"
    ]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("good", StatusCode.OK), ("twice", StatusCode.OK), ("ghost", StatusCode.NOT_FOUND),
        ("late", StatusCode.NOT_FOUND), ("other", StatusCode.FAILED_PRECONDITION),
        ("rows", StatusCode.INVALID_ARGUMENT), ("away", StatusCode.UNAVAILABLE),
    ],
)  # fmt: skip
async def test_what_came_of_one_item_is_the_status_of_the_call(door: RpcDoor, name: str, code: StatusCode) -> None:
    assert (await send(door, label(name))).code is code


async def test_of_many_items_each_has_its_own_fate(door: RpcDoor) -> None:
    said = await send(door, *map(label, ("good", "twice", "ghost", "other")))

    results = [(each.id, each.status, StatusCode(_pair(each.code))) for each in said.message.results]
    assert results == [
        ("good", "counted", StatusCode.OK), ("twice", "duplicate", StatusCode.OK),
        ("ghost", "refused", StatusCode.NOT_FOUND), ("other", "refused", StatusCode.FAILED_PRECONDITION),
    ]  # fmt: skip
    assert "ghost" in said.message.results[2].error


def _pair(code: int) -> tuple[int, str]:
    """Return the value of the member of grpc.StatusCode with this number."""
    found: tuple[int, str] = next(each.value for each in StatusCode if each.value[0] == code)
    return found


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"id": "a"}],
        [label("")],
        [label("i" * 257)],
        [label("good\n")],
        [label("good"), {"id": "b"}],
        [label("good")] * 1_001,
        [{"id": "a", "label": {"rows": []}}],
        [{"id": "a", "label": {"rows": ["1"] * 101}}],
        [{"id": "a", "value": {"rows": [float("nan")]}}],
        [{"id": "a", "reward": float("inf")}],
    ],
    ids=str,
)
async def test_a_message_that_is_no_feedback_counts_nothing(
    door: RpcDoor, desk: Desk, items: list[dict[str, Any]]
) -> None:
    said = await send(door, *items)

    assert said.code is StatusCode.INVALID_ARGUMENT
    assert desk.facts == []


async def test_what_is_no_message_or_too_large_or_for_no_model_is_refused(door: RpcDoor, desk: Desk) -> None:
    large = [{"id": f"{n}", "label": {"rows": ["c" * 200] * 10}} for n in range(600)]

    nonsense = await door.call(METHOD, b"\xff", service=SERVICE)
    said = [await send(door, *large), await send(door, label("good"), model="ghost"), await send(door, model="")]

    assert nonsense.code is StatusCode.INVALID_ARGUMENT
    assert [each.code for each in said] == [
        StatusCode.RESOURCE_EXHAUSTED, StatusCode.NOT_FOUND, StatusCode.NOT_FOUND,
    ]  # fmt: skip
    assert desk.facts == []


async def test_where_feedback_is_off_nobody_is_let_believe_otherwise() -> None:
    door = RpcDoor(timeout=20.0, max_body=10_000)
    await door.open()

    said = await send(door, label("good"))

    await door.close()
    assert said.code is StatusCode.PERMISSION_DENIED
    assert "--feedback-ttl" in said.details


async def test_calls_beyond_the_bound_are_shed_and_the_others_counted(
    door: RpcDoor, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "IN_HAND", 1)
    desk.go_on.clear()
    first = asyncio.create_task(send(door, label("good")))
    await desk.is_slow.wait()

    shed = await send(door, label("good"))
    desk.go_on.set()

    assert shed.code is StatusCode.UNAVAILABLE
    assert "send it again" in shed.details
    assert (await first).code is StatusCode.OK
    assert (await send(door, label("good"))).code is StatusCode.OK


async def test_a_client_that_knows_nothing_finds_the_service_and_sends(door: RpcDoor, desk: Desk) -> None:
    def ask() -> str:
        with grpc.insecure_channel(door.address) as channel:
            pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
            method = pool.FindServiceByName(SERVICE).methods_by_name[METHOD]
            given, answered = (message_factory.GetMessageClass(t) for t in (method.input_type, method.output_type))
            request = given(model_name="fraud", items=[label("a")]).SerializeToString()
            made = channel.unary_unary(f"/{SERVICE}/{METHOD}")(request, timeout=20)
            return str(answered.FromString(made).results[0].status)

    assert await asyncio.to_thread(ask) == "counted"
    assert [fact.id for fact in desk.facts] == ["a"]


def test_the_file_that_the_page_shows_is_the_service() -> None:
    (shown,) = re.findall(r"```protobuf\n(.*?)```", (ROOT / "docs" / "feedback.md").read_text(), re.DOTALL)

    assert shown == "".join(_file())


def _file() -> Iterator[str]:
    """Yield the lines of a ``.proto`` file that says what is described here."""
    file = MESSAGES["Item"].DESCRIPTOR.file
    yield f'syntax = "proto3";\npackage {file.package};\n\n'
    for message in file.message_types_by_name.values():
        yield f"message {message.name} {{\n"
        for field in message.fields:
            is_choice = field.containing_oneof is not None
            if is_choice and field is field.containing_oneof.fields[0]:
                yield f"  oneof {field.containing_oneof.name} {{\n"
            kind = field.message_type.name if field.message_type else NUMBERS.get(field.type, "string")
            many = "repeated " if field.is_repeated else ""
            yield f"{'    ' if is_choice else '  '}{many}{kind} {field.name} = {field.number};\n"
            if is_choice and field is field.containing_oneof.fields[-1]:
                yield "  }\n"
        yield "}\n"
    (service,) = file.services_by_name.values()
    (method,) = service.methods
    sides = f"({method.input_type.name}) returns ({method.output_type.name})"
    yield f"service {service.name} {{\n  rpc {method.name}{sides};\n}}\n"
