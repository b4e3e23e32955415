"""Server reflection: what the door offers, for callers who have no .proto file, such as ``grpcurl``.

``v1`` and ``v1alpha`` have the same messages under two names, so one description reads both.

Source: gRPC Server Reflection Protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from gateway.rpc.descriptors import POOL, build
from gateway.rpc.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.rpc.stream import Stream

SERVICES: Final = tuple(f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha"))
METHOD: Final = "ServerReflectionInfo"

DESCRIBED: Final[dict[str, dict[int, str]]] = {
    "ExtensionRequest": {1: "string containing_type", 2: "int32 extension_number"},
    "ServerReflectionRequest": {
        1: "string host", 3: "one string file_by_filename", 4: "one string file_containing_symbol",
        5: "one ExtensionRequest file_containing_extension", 6: "one string all_extension_numbers_of_type",
        7: "one string list_services",
    },
    "FileDescriptorResponse": {1: "many bytes file_descriptor_proto"},
    "ExtensionNumberResponse": {1: "string base_type_name", 2: "many int32 extension_number"},
    "ServiceResponse": {1: "string name"},
    "ListServiceResponse": {1: "many ServiceResponse service"},
    "ErrorResponse": {1: "int32 error_code", 2: "string error_message"},
    "ServerReflectionResponse": {
        1: "string valid_host", 2: "ServerReflectionRequest original_request",
        4: "one FileDescriptorResponse file_descriptor_response",
        5: "one ExtensionNumberResponse all_extension_numbers_response",
        6: "one ListServiceResponse list_services_response", 7: "one ErrorResponse error_response",
    },
}  # fmt: skip

MESSAGES: Final = build(
    "grpc.reflection.v1", DESCRIBED, "ServerReflection", {METHOD: "ServerReflection"}, choice="message_request"
)


class Reflection:
    """Answers each question of a conversation about the services that are named."""

    is_conversation = True

    def __init__(self, services: Sequence[str]) -> None:
        """*services*: their full names; each is described in ``descriptors.POOL``."""
        self._services = sorted(services)

    def begin(self, stream: Stream, body: bytes) -> None:
        """Answer one question at once."""
        try:
            request = MESSAGES["ServerReflectionRequest"].FromString(body)
        except DecodeError:
            stream.refuse(b"", Status.INVALID_ARGUMENT, "the message is not a ServerReflectionRequest")
            return
        answer = MESSAGES["ServerReflectionResponse"](valid_host=request.host, original_request=request)
        try:
            self._fill(answer, request)
        except KeyError:
            answer.error_response.error_code = Status.NOT_FOUND
            answer.error_response.error_message = "there is no such file, symbol or type"
        stream.say(answer.SerializeToString())

    def _fill(self, answer: Any, request: Any) -> None:
        """Write the answer. Raises KeyError for what is not described here."""
        asked = request.WhichOneof("message_request")
        if asked == "list_services":
            for name in self._services:
                answer.list_services_response.service.add(name=name)
        elif asked == "file_by_filename":
            _describe(answer, POOL.FindFileByName(request.file_by_filename))
        elif asked == "file_containing_symbol":
            _describe(answer, POOL.FindFileContainingSymbol(request.file_containing_symbol))
        elif asked == "all_extension_numbers_of_type":
            POOL.FindMessageTypeByName(request.all_extension_numbers_of_type)
            answer.all_extension_numbers_response.base_type_name = request.all_extension_numbers_of_type
        else:
            raise KeyError(asked)  # no message here has extensions


def _describe(answer: Any, file: Any) -> None:
    described = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(described)
    answer.file_descriptor_response.file_descriptor_proto.append(described.SerializeToString())
