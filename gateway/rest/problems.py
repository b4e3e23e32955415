"""The one table of the inference port's errors: what happened → status, outcome, short name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from gateway.core import errors, outcomes

if TYPE_CHECKING:
    from gateway.core.errors import GatewayError

TABLE: Final[dict[type[GatewayError], tuple[int, int, str]]] = {
    errors.InvalidRequest: (400, outcomes.CLIENT_ERROR, "invalid_request"),
    errors.RequestTooLarge: (413, outcomes.CLIENT_ERROR, "too_large"),
    errors.UnsupportedMediaType: (415, outcomes.CLIENT_ERROR, "unsupported_media_type"),
    errors.UnknownModel: (404, outcomes.CLIENT_ERROR, "unknown_model"),
    errors.UnknownVersion: (404, outcomes.CLIENT_ERROR, "unknown_version"),
    errors.UnknownAlias: (404, outcomes.CLIENT_ERROR, "unknown_alias"),
    errors.UnknownPrediction: (404, outcomes.CLIENT_ERROR, "unknown_id"),
    errors.LabelTooLate: (404, outcomes.CLIENT_ERROR, "expired_id"),
    errors.LabelConflict: (409, outcomes.CLIENT_ERROR, "conflicting_label"),
    errors.Unauthenticated: (401, outcomes.CLIENT_ERROR, "unauthenticated"),
    errors.Forbidden: (403, outcomes.CLIENT_ERROR, "forbidden"),
    errors.TooManyAttempts: (429, outcomes.CLIENT_ERROR, "too_many_attempts"),
    errors.TooManyRequests: (429, outcomes.CLIENT_ERROR, "too_many_requests"),
    errors.VersionInUse: (409, outcomes.CLIENT_ERROR, "version_in_use"),
    errors.LoadFailed: (409, outcomes.CLIENT_ERROR, "load_failed"),
    errors.StoreUnavailable: (503, outcomes.GATEWAY_ERROR, "store_unavailable"),
    errors.Starting: (503, outcomes.GATEWAY_ERROR, "starting"),
    errors.VersionUnavailable: (503, outcomes.GATEWAY_ERROR, "version_unavailable"),
    errors.Overloaded: (503, outcomes.OVERLOAD, "overloaded"),
    errors.BodiesOverloaded: (503, outcomes.OVERLOAD, "bodies_overloaded"),
    errors.FeedbackOverloaded: (503, outcomes.OVERLOAD, "feedback_overloaded"),
    errors.DeadlineExceeded: (504, outcomes.TIMEOUT, "deadline_exceeded"),
    errors.RejectedInput: (400, outcomes.CLIENT_ERROR, "model_rejected_input"),
    errors.InputRefused: (500, outcomes.MODEL_ERROR, "model_error"),
    errors.VersionStuck: (503, outcomes.TIMEOUT, "version_stuck"),
    errors.Quarantined: (503, outcomes.GATEWAY_ERROR, "quarantined"),
    errors.ModelFailed: (500, outcomes.MODEL_ERROR, "model_error"),
}
"""The protocol names no statuses beyond 200 and 400; these are what Triton's and KServe's clients understand."""

JSON: Final = (b"content-type", b"application/json")
"""Exactly so: with a charset behind it the KServe SDK hides the message."""


class Problem:
    """What is answered for an error."""

    __slots__ = ("body", "code", "headers", "outcome", "status")

    def __init__(self, error: GatewayError | None, request_id: str, trace_id: str = "") -> None:
        """*error* None, or one without a row, is a fault of the gateway itself: the answer says no more than that.

        *trace_id*: the trace that the caller named, empty where it named none.
        """
        status, outcome, code = 500, outcomes.GATEWAY_ERROR, "gateway_error"
        text = "the gateway failed on this request; its log says why, under the request id"
        found = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
        if found is not None:
            status, outcome, code = found
            code, text = getattr(error, "code", code), str(error)
        self.status = status
        self.code = code
        self.outcome = outcome
        said = {"error": text, "code": code, "request_id": request_id}
        self.body = orjson.dumps(said | {"trace_id": trace_id} if trace_id else said)
        self.headers = [JSON]
        if status == 503 or isinstance(error, errors.TooManyRequests):
            self.headers.append((b"retry-after", b"1"))
        elif isinstance(error, errors.Unauthenticated):
            self.headers.append((b"www-authenticate", b'Bearer realm="gateway"'))
        elif isinstance(error, errors.TooManyAttempts):
            self.headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
