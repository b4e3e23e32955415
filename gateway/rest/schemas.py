"""The bodies of the inference port as JSON schemas (2020-12), for its OpenAPI document.

They describe and check nothing: a body is read by ``rest/envelope.py`` and by the codecs.

Source: Open Inference Protocol (v2), "HTTP/REST".
"""

from __future__ import annotations

from typing import Any, Final

from gateway.core.feedback import ITEMS_MOST, ROWS_MOST
from gateway.core.signature import DATATYPES
from gateway.serving.parameters import ID_CHARACTERS

TEXT: Final = {"type": "string"}
COUNT: Final = {"type": "integer", "minimum": 0}


def ref(name: str) -> dict[str, str]:
    """Return the reference to one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(schema: dict[str, Any], **bounds: int) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": schema, **bounds}


def an_object(properties: dict[str, Any], *optional: str, **members: Any) -> dict[str, Any]:
    """Return the schema of an object whose *properties* are all required but the *optional* ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, **members}


DATATYPE: Final = {"enum": list(DATATYPES)}

CLASS: Final = {"type": ["string", "number", "boolean"]}
NUMBER: Final = {"type": "number"}
FEEDBACK_ITEM: Final = an_object(
    {
        "id": {**TEXT, "minLength": 1, "maxLength": 256},
        "label": {"anyOf": [CLASS, list_of(CLASS, minItems=1, maxItems=ROWS_MOST)]},
        "value": {"anyOf": [NUMBER, list_of(NUMBER, minItems=1, maxItems=ROWS_MOST)]},
        "reward": NUMBER,
    },
    "label",
    "value",
    "reward",
    additionalProperties=False,
    oneOf=[{"required": [name]} for name in ("label", "value", "reward")],
)
TAKEN: Final[dict[str, Any]] = {"enum": ["counted", "duplicate"]}

SCHEMAS: Final[dict[str, Any]] = {
    "Server": an_object({"name": TEXT, "version": TEXT, "extensions": list_of(TEXT)}),
    "Live": an_object({"live": {"const": True}}),
    "Ready": an_object(
        {"ready": {"type": "boolean"}, "reasons": {"type": "object", "additionalProperties": TEXT}}, "reasons"
    ),
    "Models": an_object({"models": list_of(TEXT)}),
    "Index": list_of(
        an_object(
            {
                "name": TEXT,
                "version": TEXT,
                "state": {"enum": ["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]},
                "reason": TEXT,
            }
        )
    ),
    "FeedbackItem": FEEDBACK_ITEM,
    "Feedback": {
        "oneOf": [
            ref("FeedbackItem"),
            an_object({"feedback": list_of(ref("FeedbackItem"), minItems=1, maxItems=ITEMS_MOST)}),
        ]
    },
    "FeedbackTaken": {
        "oneOf": [
            an_object({"model": TEXT, "id": TEXT, "status": TAKEN}),
            an_object(
                {
                    "model": TEXT,
                    "feedback": list_of(
                        an_object(
                            {"id": TEXT, "status": {"enum": [*TAKEN["enum"], "refused"]}, "code": TEXT, "error": TEXT},
                            "code",
                            "error",
                        )
                    ),
                }
            ),
        ]
    },
    "IndexRequest": an_object({"ready": {"type": "boolean"}}, "ready"),
    "Order": an_object(
        {
            "parameters": an_object(
                {"version": {"type": ["string", "integer"]}, "unload_dependents": {}},
                "version",
                "unload_dependents",
                additionalProperties=False,
            )
        },
        "parameters",
    ),
    "Loaded": an_object({"name": TEXT, "load": {"const": True}}),
    "Unloaded": an_object({"name": TEXT, "unload": {"const": True}}),
    "Statistics": an_object({"model_stats": list_of(ref("VersionStatistics"))}),
    "VersionStatistics": an_object(
        {
            "name": TEXT,
            "version": TEXT,
            "last_inference": {**COUNT, "description": "milliseconds since the epoch; 0 before any"},
            "inference_count": {**COUNT, "description": "rows"},
            "execution_count": {**COUNT, "description": "runs"},
            "inference_stats": {"type": "object", "additionalProperties": ref("Duration")},
            "response_stats": {"type": "object"},
            "batch_stats": {"type": "array"},
            "memory_usage": {"type": "array"},
        }
    ),
    "Duration": an_object({"count": COUNT, "ns": COUNT}),
    "Config": an_object(
        {
            "name": TEXT,
            "platform": TEXT,
            "backend": TEXT,
            "max_batch_size": COUNT,
            "input": list_of(ref("TensorConfig")),
            "output": list_of(ref("TensorConfig")),
        }
    ),
    "TensorConfig": an_object({"name": TEXT, "data_type": TEXT, "dims": list_of({"type": "integer", "minimum": -1})}),
    "TensorMetadata": an_object(
        {
            "name": TEXT,
            "datatype": DATATYPE,
            "shape": list_of({"type": "integer", "minimum": -1, "description": "-1 is a free dimension"}),
        }
    ),
    "Model": an_object(
        {
            "name": TEXT,
            "versions": list_of(TEXT),
            "platform": TEXT,
            "inputs": list_of(ref("TensorMetadata")),
            "outputs": list_of(ref("TensorMetadata")),
        }
    ),
    "ModelReady": an_object({"name": TEXT, "ready": {"type": "boolean"}}),
    "Parameters": {
        "type": ["object", "null"],
        "description": "of a request: timeout (microseconds), binary_data_output, and what a route reads; "
        "of a tensor: binary_data_size, binary_data",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
    "Input": an_object(
        {
            "name": TEXT,
            "shape": list_of(COUNT),
            "datatype": DATATYPE,
            "data": {"description": "flat, or nested exactly as the shape says; absent where the tensor is binary"},
            "parameters": ref("Parameters"),
        },
        "data",
        "parameters",
    ),
    "RequestedOutput": an_object({"name": TEXT, "parameters": ref("Parameters")}, "parameters"),
    "InferRequest": an_object(
        {
            "id": {"type": ["string", "null"], "maxLength": ID_CHARACTERS, "description": "printable"},
            "parameters": ref("Parameters"),
            "inputs": list_of(ref("Input"), minItems=1),
            "outputs": {**list_of(ref("RequestedOutput")), "type": ["array", "null"]},
        },
        "id",
        "parameters",
        "outputs",
        description="members beside these are ignored; of two equal members the last counts",
    ),
    "Output": an_object(
        {
            "name": TEXT,
            "shape": list_of(COUNT),
            "datatype": DATATYPE,
            "data": {"type": "array"},
            "parameters": ref("Parameters"),
        },
        "data",
        "parameters",
    ),
    "InferAnswer": an_object(
        {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": list_of(ref("Output"))}
    ),
    "Alive": an_object({"status": {"const": "alive"}}),
    "Status1": an_object(
        {
            "name": TEXT,
            "ready": {"type": "boolean"},
            "model_version_status": list_of(
                an_object(
                    {
                        "version": TEXT,
                        "state": {"enum": ["LOADING", "AVAILABLE", "UNLOADING", "END"]},
                        "status": an_object({"error_code": TEXT, "error_message": TEXT}),
                    }
                )
            ),
        }
    ),
    "Metadata1": an_object({"model_spec": {"type": "object"}, "metadata": {"type": "object"}}),
    "PredictRequest": {
        "type": "object",
        "properties": {
            "signature_name": {"type": ["string", "null"], "enum": ["serving_default", None]},
            "instances": {"description": "an item per row; with several inputs an object of them"},
            "inputs": {"description": "a tensor, or an object of tensors"},
        },
        "description": "exactly one of instances and inputs; members beside these are ignored",
    },
    "PredictAnswer": {
        "oneOf": [an_object({"predictions": {"type": "array"}}), an_object({"outputs": {}})],
        "description": "predictions for instances, outputs for inputs",
    },
    "Error": an_object(
        {"error": TEXT, "code": TEXT, "request_id": TEXT, "trace_id": TEXT}, "trace_id", additionalProperties=False
    ),
}
