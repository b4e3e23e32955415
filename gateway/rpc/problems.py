"""The one table of the gRPC door's errors: what happened → status and outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core import errors, outcomes
from gateway.rpc.status import Status

if TYPE_CHECKING:
    from gateway.core.errors import GatewayError

TABLE: Final[dict[type[GatewayError], tuple[Status, int]]] = {
    errors.InvalidRequest: (Status.INVALID_ARGUMENT, outcomes.CLIENT_ERROR),
    errors.RequestTooLarge: (Status.RESOURCE_EXHAUSTED, outcomes.CLIENT_ERROR),
    errors.UnsupportedMediaType: (Status.UNIMPLEMENTED, outcomes.CLIENT_ERROR),
    errors.UnknownModel: (Status.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.UnknownVersion: (Status.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.UnknownAlias: (Status.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.UnknownPrediction: (Status.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.LabelTooLate: (Status.NOT_FOUND, outcomes.CLIENT_ERROR),
    errors.LabelConflict: (Status.FAILED_PRECONDITION, outcomes.CLIENT_ERROR),
    errors.Unauthenticated: (Status.UNAUTHENTICATED, outcomes.CLIENT_ERROR),
    errors.Forbidden: (Status.PERMISSION_DENIED, outcomes.CLIENT_ERROR),
    errors.TooManyAttempts: (Status.RESOURCE_EXHAUSTED, outcomes.CLIENT_ERROR),
    errors.TooManyRequests: (Status.RESOURCE_EXHAUSTED, outcomes.CLIENT_ERROR),
    errors.VersionInUse: (Status.FAILED_PRECONDITION, outcomes.CLIENT_ERROR),
    errors.LoadFailed: (Status.FAILED_PRECONDITION, outcomes.CLIENT_ERROR),
    errors.StoreUnavailable: (Status.UNAVAILABLE, outcomes.GATEWAY_ERROR),
    errors.Starting: (Status.UNAVAILABLE, outcomes.GATEWAY_ERROR),
    errors.VersionUnavailable: (Status.UNAVAILABLE, outcomes.GATEWAY_ERROR),
    errors.Overloaded: (Status.UNAVAILABLE, outcomes.OVERLOAD),
    errors.BodiesOverloaded: (Status.UNAVAILABLE, outcomes.OVERLOAD),
    errors.FeedbackOverloaded: (Status.UNAVAILABLE, outcomes.OVERLOAD),
    errors.DeadlineExceeded: (Status.DEADLINE_EXCEEDED, outcomes.TIMEOUT),
    errors.RejectedInput: (Status.INVALID_ARGUMENT, outcomes.CLIENT_ERROR),
    errors.InputRefused: (Status.INTERNAL, outcomes.MODEL_ERROR),
    errors.VersionStuck: (Status.UNAVAILABLE, outcomes.TIMEOUT),
    errors.Quarantined: (Status.FAILED_PRECONDITION, outcomes.GATEWAY_ERROR),
    errors.ModelFailed: (Status.INTERNAL, outcomes.MODEL_ERROR),
}
"""KServe's client retries UNAVAILABLE by itself, so it is only for what may pass."""

FAULT: Final = (Status.INTERNAL, outcomes.GATEWAY_ERROR)
FAULT_TEXT: Final = "the gateway failed on this request; its log says why, under the request id"


def problem(error: GatewayError | None) -> tuple[Status, int, str]:
    """Return status, outcome and text; None, or an error without a row, is a fault of the gateway itself."""
    found = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    return (*FAULT, FAULT_TEXT) if found is None else (*found, str(error))
