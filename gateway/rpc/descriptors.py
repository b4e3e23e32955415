"""The messages of the gRPC door, described in code and built into a pool of their own.

Two copies of package ``inference`` cannot share protobuf's default pool, and a caller's client in the same
process brings one. So there are no generated modules: the tables below are the protocol.

Sources: Open Inference Protocol (v2), "gRPC API"; Triton's grpc_service.proto and model_config.proto for its
extensions; gRPC Health Checking Protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD: Final = descriptor_pb2.FieldDescriptorProto

SCALARS: Final = {
    "bool": FIELD.TYPE_BOOL, "string": FIELD.TYPE_STRING, "bytes": FIELD.TYPE_BYTES, "int32": FIELD.TYPE_INT32,
    "int64": FIELD.TYPE_INT64, "uint32": FIELD.TYPE_UINT32, "uint64": FIELD.TYPE_UINT64, "float": FIELD.TYPE_FLOAT,
    "double": FIELD.TYPE_DOUBLE,
}  # fmt: skip

PARAMETERS: Final = "map InferParameter parameters"
ORDER_PARAMETERS: Final = "map ModelRepositoryParameter parameters"

INFERENCE: Final[dict[str, dict[int, str]]] = {
    "InferParameter": {
        1: "one bool bool_param", 2: "one int64 int64_param", 3: "one string string_param",
        4: "one double double_param", 5: "one uint64 uint64_param",
    },
    "InferTensorContents": {
        1: "many bool bool_contents", 2: "many int32 int_contents", 3: "many int64 int64_contents",
        4: "many uint32 uint_contents", 5: "many uint64 uint64_contents", 6: "many float fp32_contents",
        7: "many double fp64_contents", 8: "many bytes bytes_contents",
    },
    "Tensor": {
        1: "string name", 2: "string datatype", 3: "many int64 shape", 4: PARAMETERS, 5: "InferTensorContents contents",
    },
    "RequestedOutput": {1: "string name", 2: PARAMETERS},
    "ModelInferRequest": {
        1: "string model_name", 2: "string model_version", 3: "string id", 4: PARAMETERS, 5: "many Tensor inputs",
        6: "many RequestedOutput outputs", 7: "many bytes raw_input_contents",
    },
    "ModelInferResponse": {
        1: "string model_name", 2: "string model_version", 3: "string id", 4: PARAMETERS, 5: "many Tensor outputs",
        6: "many bytes raw_output_contents",
    },
    "ServerLiveRequest": {},
    "ServerLiveResponse": {1: "bool live"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {1: "bool ready"},
    "ModelReadyRequest": {1: "string name", 2: "string version"},
    "ModelReadyResponse": {1: "bool ready"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {1: "string name", 2: "string version", 3: "many string extensions"},
    "TensorMetadata": {1: "string name", 2: "string datatype", 3: "many int64 shape"},
    "ModelMetadataRequest": {1: "string name", 2: "string version"},
    "ModelMetadataResponse": {
        1: "string name", 2: "many string versions", 3: "string platform", 4: "many TensorMetadata inputs",
        5: "many TensorMetadata outputs",
    },
    "RepositoryIndexRequest": {1: "string repository_name", 2: "bool ready"},
    "ModelIndex": {1: "string name", 2: "string version", 3: "string state", 4: "string reason"},
    "RepositoryIndexResponse": {1: "many ModelIndex models"},
    "ModelRepositoryParameter": {
        1: "one bool bool_param", 2: "one int64 int64_param", 3: "one string string_param", 4: "one bytes bytes_param",
    },
    "RepositoryModelLoadRequest": {1: "string repository_name", 2: "string model_name", 3: ORDER_PARAMETERS},
    "RepositoryModelLoadResponse": {},
    "RepositoryModelUnloadRequest": {1: "string repository_name", 2: "string model_name", 3: ORDER_PARAMETERS},
    "RepositoryModelUnloadResponse": {},
    "StatisticDuration": {1: "uint64 count", 2: "uint64 ns"},
    "InferStatistics": {
        1: "StatisticDuration success", 2: "StatisticDuration fail", 3: "StatisticDuration queue",
        4: "StatisticDuration compute_input", 5: "StatisticDuration compute_infer",
        6: "StatisticDuration compute_output", 7: "StatisticDuration cache_hit", 8: "StatisticDuration cache_miss",
    },
    "InferBatchStatistics": {
        1: "uint64 batch_size", 2: "StatisticDuration compute_input", 3: "StatisticDuration compute_infer",
        4: "StatisticDuration compute_output",
    },
    "MemoryUsage": {1: "string type", 2: "int64 id", 3: "uint64 byte_size"},
    "ModelStatistics": {
        1: "string name", 2: "string version", 3: "uint64 last_inference", 4: "uint64 inference_count",
        5: "uint64 execution_count", 6: "InferStatistics inference_stats", 7: "many InferBatchStatistics batch_stats",
        8: "many MemoryUsage memory_usage",
    },
    "ModelStatisticsRequest": {1: "string name", 2: "string version"},
    "ModelStatisticsResponse": {1: "many ModelStatistics model_stats"},
    "ModelInput": {1: "string name", 2: "int32 data_type", 4: "many int64 dims"},
    "ModelOutput": {1: "string name", 2: "int32 data_type", 3: "many int64 dims"},
    "ModelConfig": {
        1: "string name", 2: "string platform", 4: "int32 max_batch_size", 5: "many ModelInput input",
        6: "many ModelOutput output", 17: "string backend",
    },
    "ModelConfigRequest": {1: "string name", 2: "string version"},
    "ModelConfigResponse": {1: "ModelConfig config"},
}  # fmt: skip
"""Message → number → field. Tensors are nested messages of two names in the protocol, which the wire does not show."""

HEALTH: Final[dict[str, dict[int, str]]] = {
    "HealthCheckRequest": {1: "string service"},
    "HealthCheckResponse": {1: "int32 status"},
}
"""The status is an enumeration in the protocol; on the wire it is a number: SERVING 1, NOT_SERVING 2."""


def _field(described: str, number: int, package: str, message: Any) -> None:
    """Add a field to *message*; ``many`` repeats it, ``one`` is of the message's choice, ``map`` has text for keys."""
    *how, kind, name = described.split(" ")
    field = message.field.add(name=name, number=number, label=FIELD.LABEL_OPTIONAL)
    if how == ["map"]:
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _field("string key", 1, package, entry)
        _field(f"{kind} value", 2, package, entry)
        kind, how = f"{message.name}.{entry.name}", ["many"]
    if how == ["many"]:
        field.label = FIELD.LABEL_REPEATED
    if how == ["one"]:
        field.oneof_index = 0
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type, field.type_name = FIELD.TYPE_MESSAGE, f".{package}.{kind}"


POOL: Final = descriptor_pool.DescriptorPool()
"""Holds what is described here, and nothing else does."""


def build(
    package: str,
    messages: dict[str, dict[int, str]],
    service: str,
    methods: Mapping[str, str],
    choice: str = "parameter_choice",
) -> dict[str, Any]:
    """Return message name → class, and describe the service in the pool too: method → how its two messages begin.

    *choice* is what ``WhichOneof`` calls the choice of those messages that have one.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        if any(each.startswith("one ") for each in fields.values()):
            message.oneof_decl.add(name=choice)
        for number, described in fields.items():
            _field(described, number, package, message)
    described = file.service.add(name=service)
    for method, kind in methods.items():
        given, answered = (f".{package}.{kind}{side}" for side in ("Request", "Response"))
        described.method.add(name=method, input_type=given, output_type=answered)
    POOL.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


ASKED: Final = [name.removesuffix("Request") for name in INFERENCE if name.endswith("Request")]
"""The methods of the inference service: each has a message of its name for the request, and one for the response."""

MESSAGES: Final = build("inference", INFERENCE, "GRPCInferenceService", dict(zip(ASKED, ASKED, strict=True)))
HEALTH_MESSAGES: Final = build("grpc.health.v1", HEALTH, "Health", {"Check": "HealthCheck"})
