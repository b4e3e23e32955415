"""The v1 paths that describe: TensorFlow Serving's model status and metadata, and KServe's readiness, in one answer.

Both protocols ask ``GET /v1/models/{model}``, and each reads its own members of what comes back.
Predictions are in ``v1_exchange``.

Source: TensorFlow Serving, "RESTful API", "Model status API" and "Model Metadata API"; KServe, "V1 Protocol".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.routing import Route

from gateway.core.versions import VersionState
from gateway.rest.responses import answer
from gateway.rest.v1_codec import DEFAULT_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.core.signature import TensorSpec
    from gateway.core.versions import VersionStatus
    from gateway.serving.description import Description

PREDICT: Final = re.compile(r"/v1/models/([^/:]+)(?:/versions/([^/:]+)|/labels/([^/:]+))?:predict")
"""The path of a prediction: its model, and the version or the label that it names."""

NOT_OFFERED: Final = ("classify", "regress", "explain")

STATES: Final = {
    VersionState.UNAVAILABLE: "END",
    VersionState.LOADING: "LOADING",
    VersionState.READY: "AVAILABLE",
    VersionState.UNLOADING: "UNLOADING",
    VersionState.FAILED: "END",
}
"""TensorFlow Serving's word for each state; one that failed to load has ended, with an error."""

DATATYPES: Final = {
    "BOOL": "DT_BOOL", "UINT8": "DT_UINT8", "UINT16": "DT_UINT16", "UINT32": "DT_UINT32", "UINT64": "DT_UINT64",
    "INT8": "DT_INT8", "INT16": "DT_INT16", "INT32": "DT_INT32", "INT64": "DT_INT64", "FP16": "DT_HALF",
    "BF16": "DT_BFLOAT16", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING",
}  # fmt: skip
"""TensorFlow's word for each datatype."""


class Version1:
    """The endpoints, as Starlette routes."""

    def __init__(self, described: Description) -> None:
        self._described = described

    def routes(self) -> list[Route]:
        """Return them, those of a verb before those that would take it for a part of the name."""
        model = "/v1/models/{model}"
        named = [model, model + "/versions/{version}", model + "/labels/{label}"]
        return [
            Route("/", self._alive),
            Route("/v1/models", self._models),
            *(Route(f"{path}:predict", self._predict_by_post, methods=["POST"]) for path in named),
            *(Route(f"{path}:{{verb}}", self._another_verb, methods=["POST"]) for path in named),
            *(Route(f"{path}/metadata", self._metadata) for path in named),
            *(Route(path, self._status) for path in named),
        ]

    async def _alive(self, _: Request) -> Response:
        return answer({"status": "alive"})

    async def _models(self, _: Request) -> Response:
        return answer({"models": self._described.models()})

    async def _status(self, request: Request) -> Response:
        model, version = self._named(request)
        ready = self._described.is_ready(model, version)
        statuses = self._described.statuses(model, version)
        body = {"name": model, "ready": ready, "model_version_status": [_status(each) for each in statuses]}
        return answer(body, 200 if ready else 503)

    async def _metadata(self, request: Request) -> Response:
        loaded = self._described.loaded(*self._named(request))
        signature = {
            "inputs": _tensors(loaded.signature.inputs),
            "outputs": _tensors(loaded.signature.outputs),
            "method_name": "tensorflow/serving/predict",
        }
        return answer(
            {
                "model_spec": {"name": loaded.model, "signature_name": "", "version": str(loaded.version)},
                "metadata": {"signature_def": {"signature_def": {DEFAULT_SIGNATURE: signature}}},
            }
        )

    async def _predict_by_post(self, request: Request) -> Response:
        """Refuse what only looks like a prediction, as a version that is no number; gives other verbs their 405."""
        self._named(request)
        raise HTTPException(404)

    async def _another_verb(self, request: Request) -> Response:
        raise HTTPException(501 if request.path_params["verb"] in NOT_OFFERED else 404)

    def _named(self, request: Request) -> tuple[str, int | None]:
        found = request.path_params
        name, _, verb = next(reversed(found.values())).rpartition(":")
        if name and verb in {"predict", *NOT_OFFERED}:
            raise HTTPException(405, headers={"Allow": "POST"})
        model = found["model"]
        if "label" in found:
            return model, self._described.labelled(model, found["label"])
        return model, self._described.named(model, found.get("version"))


def _status(status: VersionStatus) -> dict[str, Any]:
    error = ("INTERNAL", status.reason) if status.state is VersionState.FAILED else ("OK", "")
    return {
        "version": str(status.version),
        "state": STATES[status.state],
        "status": dict(zip(("error_code", "error_message"), error, strict=True)),
    }


def _tensors(specs: Iterable[TensorSpec]) -> dict[str, Any]:
    return {
        spec.name: {"name": spec.name, "dtype": DATATYPES[spec.datatype], "tensor_shape": _shape(spec.shape)}
        for spec in specs
    }


def _shape(shape: Sequence[int]) -> dict[str, Any]:
    """Return a shape as protobuf writes it in JSON: 64-bit numbers are text."""
    return {"dim": [{"size": str(size), "name": ""} for size in shape], "unknown_rank": False}
