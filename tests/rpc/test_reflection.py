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
from gateway.rpc.service import HEALTH, INFERENCE, METHODS
from tests.rpc.door import message

if TYPE_CHECKING:
    from tests.rpc.door import RpcDoor


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

    assert services == {INFERENCE, HEALTH}
    assert methods == set(METHODS)
    assert version == "1"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_both_names_of_the_reflection_service_are_answered(door: RpcDoor, version: str) -> None:
    call = door.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
    answer = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
    await call.done_writing()

    assert [each.name for each in answer.list_services_response.service] == [HEALTH, INFERENCE]


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
