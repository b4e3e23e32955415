"""The one table of the gRPC door's errors: what happened → status and outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grpc import StatusCode

from gateway.core import errors, outcomes

if TYPE_CHECKING:
    from gateway.core.errors import GatewayError

TABLE: Final[dict[type[GatewayError], tuple[StatusCode, int]]] = {
    errors.InvalidRequest: (StatusCode.INVALID_ARGUMENT, outcomes.CLIENT_ERROR),
    errors.RequestTooLarge: (StatusCode.RESOURCE_EXHAUSTED, outcomes.CLIENT_ERROR),
    errors.UnsupportedMediaType: (StatusCode.UNIMPLEMENTED, outcomes.CLIENT_ERROR),
    errors.UnknownModel: (StatusCode.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.UnknownVersion: (StatusCode.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.UnknownAlias: (StatusCode.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.UnknownPrediction: (StatusCode.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.LabelTooLate: (StatusCode.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.LabelConflict: (StatusCode.FAILED_PRECONDITION, outcomes.CLIENT_ERROR),
    errors.Unauthenticated: (StatusCode.UNAUTHENTICATED, outcomes.CLIENT_ERROR),
    errors.Forbidden: (StatusCode.PERMISSION_DENIED, outcomes.CLIENT_ERROR),
    errors.TooManyAttempts: (StatusCode.RESOURCE_EXHAUSTED, outcomes.CLIENT_ERROR),
    errors.VersionInUse: (StatusCode.FAILED_PRECONDITION, outcomes.CLIENT_ERROR),
    errors.LoadFailed: (StatusCode.FAILED_PRECONDITION, outcomes.CLIENT_ERROR),
    errors.StoreUnavailable: (StatusCode.UNAVAILABLE, outcomes.GATEWAY_ERROR),
    errors.Starting: (StatusCode.UNAVAILABLE, outcomes.GATEWAY_ERROR),
    errors.VersionUnavailable: (StatusCode.UNAVAILABLE, outcomes.GATEWAY_ERROR),
    errors.Overloaded: (StatusCode.UNAVAILABLE, outcomes.OVERLOAD),
    errors.DeadlineExceeded: (StatusCode.DEADLINE_EXCEEDED, outcomes.TIMEOUT),
    errors.RejectedInput: (StatusCode.INVALID_ARGUMENT, outcomes.CLIENT_ERROR),
    errors.InputRefused: (StatusCode.INTERNAL, outcomes.MODEL_ERROR),
    errors.VersionStuck: (StatusCode.UNAVAILABLE, outcomes.TIMEOUT),
    errors.Quarantined: (StatusCode.FAILED_PRECONDITION, outcomes.GATEWAY_ERROR),
    errors.ModelFailed: (StatusCode.INTERNAL, outcomes.MODEL_ERROR),
}
"""KServe's client retries UNAVAILABLE by itself, so it is only for what may pass."""

FAULT: Final = (StatusCode.INTERNAL, outcomes.GATEWAY_ERROR)
FAULT_TEXT: Final = "the gateway failed on this request; its log says why, under the request id"


def problem(error: GatewayError | None) -> tuple[StatusCode, int, str]:
    """Return status, outcome and text; None, or an error without a row, is a fault of the gateway itself."""
    found = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    return (*FAULT, FAULT_TEXT) if found is None else (*found, str(error))
