"""What the door says of itself, read with the library that other people's tools are built on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from gateway.rpc.descriptors import MESSAGES
from gateway.rpc.feedback import SERVICE as FEEDBACK
from gateway.rpc.frames import Code
from gateway.rpc.messages import prefixed
from gateway.rpc.service import HEALTH, INFERENCE, METHODS
from gateway.rpc.status import Status
from tests.rpc.door import message
from tests.rpc.raw import Raw

if TYPE_CHECKING:
    from tests.rpc.door import RpcDoor

INFO = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


async def test_a_caller_without_descriptions_finds_every_service_and_method_and_can_call(door: RpcDoor) -> None:
    def ask() -> tuple[set[str], set[str], str]:
        with grpc.insecure_channel(door.address) as channel:
            found = ProtoReflectionDescriptorDatabase(channel)
            pool = descriptor_pool.DescriptorPool(found)
            service = pool.FindServiceByName(INFERENCE)
            method = service.methods_by_name["ModelInfer"]
            given, answered = (message_factory.GetMessageClass(t) for t in (method.input_type, method.output_type))
            request = given.FromString(message().SerializeToString())
            made = channel.unary_unary(f"/{INFERENCE}/ModelInfer")(request.SerializeToString(), timeout=20)
            return set(found.get_services()), set(service.methods_by_name), answered.FromString(made).model_version

    services, methods, version = await asyncio.to_thread(ask)

    assert services == {INFERENCE, HEALTH, FEEDBACK}
    assert methods == set(METHODS)
    assert version == "1"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_both_names_of_the_reflection_service_are_answered(door: RpcDoor, version: str) -> None:
    call = door.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
    answer = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
    await call.done_writing()

    assert [each.name for each in answer.list_services_response.service] == [FEEDBACK, HEALTH, INFERENCE]


async def test_what_is_described_to_others_is_what_is_served(door: RpcDoor) -> None:
    call = door.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")()
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.ModelInferRequest")
    await call.write(asked.SerializeToString())
    answer = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
    await call.done_writing()

    [file] = answer.file_descriptor_response.file_descriptor_proto
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file)
    theirs = pool.FindMessageTypeByName("inference.ModelInferRequest")
    assert [(f.number, f.name) for f in theirs.fields] == [
        (f.number, f.name) for f in MESSAGES["ModelInferRequest"].DESCRIPTOR.fields
    ]


def asked(**question: object) -> bytes:
    return prefixed(reflection_pb2.ServerReflectionRequest(**question).SerializeToString())


@pytest.mark.parametrize("question", [
    {"file_by_filename": "ghost.proto"}, {"file_containing_symbol": "inference.Ghost"},
    {"all_extension_numbers_of_type": "inference.Ghost"}, {"file_containing_extension": {"containing_type": "x"}}, {},
])  # fmt: skip
async def test_what_is_not_described_is_not_found_and_the_conversation_goes_on(
    door: RpcDoor, question: dict[str, object]
) -> None:
    raw = await Raw.connect(door.port)
    number = raw.begin(raw.head(path=INFO))
    raw.data(number, asked(**question) + asked(file_by_filename="inference.proto"))

    headers, body = await raw.answer(number)

    raw.close()
    first = reflection_pb2.ServerReflectionResponse.FromString(body[5 : 5 + int.from_bytes(body[1:5], "big")])
    assert first.error_response.error_code == Status.NOT_FOUND
    assert b"GRPCInferenceService" in body
    assert headers["grpc-status"] == "0"


@pytest.mark.parametrize(("sent", "status"), [
    (prefixed(b"\xff"), Status.INVALID_ARGUMENT), (b"\0\0", Status.INVALID_ARGUMENT),
    (b"\0\0\1\0\1", Status.RESOURCE_EXHAUSTED), (b"", Status.OK),
])  # fmt: skip
async def test_what_is_no_question_ends_the_conversation(door: RpcDoor, sent: bytes, status: Status) -> None:
    raw = await Raw.connect(door.port)
    number = raw.begin(raw.head(path=INFO))
    raw.data(number, sent)

    assert await raw.status(number) == status
    raw.close()


async def test_a_conversation_whose_answers_nobody_reads_is_ended(door: RpcDoor) -> None:
    raw = await Raw.connect(door.port)
    number = raw.begin(raw.head(path=INFO))

    for _ in range(400):
        raw.data(number, asked(file_by_filename="inference.proto"), ends=False)

    assert await raw.was_reset(number) is Code.ENHANCE_YOUR_CALM
    raw.close()
