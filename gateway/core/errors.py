"""Everything that can go wrong, in the domain's words.

No error here knows a status code: ``rest/problems.py`` and ``control/problems.py`` hold
one table each. A message tells its reader what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class GatewayError(Exception):
    """The root of all errors that the gateway raises on purpose."""


class InvalidSettings(GatewayError):
    """A flag, an environment variable or a file they name cannot be used."""


class StateDirectoryInUse(GatewayError):
    """Another gateway holds the lock on the state directory."""

    def __init__(self, directory: str, holder: str) -> None:
        super().__init__(
            f"state directory {directory!r} is in use by another gateway (process {holder}); "
            f"stop that one, or give this one its own with --state-dir"
        )
        self.directory = directory
        self.holder = holder


class InvalidDocument(GatewayError):
    """A route document cannot be built; *field* is the path to the culprit, such as ``split.2``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class UnknownModel(GatewayError):
    """No model of this name is in the repository."""

    def __init__(self, model: str) -> None:
        super().__init__(f"model {model!r} is not known here; `gateway models list` shows those that are")
        self.model = model


class Starting(GatewayError):
    """The gateway has not looked at its models yet; a moment later it can say more."""

    def __init__(self) -> None:
        super().__init__("the gateway is starting and does not know its models yet; try again shortly")


class UnknownVersion(GatewayError):
    """The model has no such version."""

    def __init__(self, model: str, version: str) -> None:
        super().__init__(
            f"model {model!r} has no version {version!r}; `gateway versions list {model}` shows its versions"
        )
        self.model = model
        self.version = version


class UnknownAlias(GatewayError):
    """A label in a request points to no version now; *why* goes on after the label's name."""

    def __init__(self, model: str, alias: str, why: str) -> None:
        super().__init__(f"label {alias!r} of model {model!r} {why}; `gateway routes show {model}` shows the route")
        self.model = model
        self.alias = alias


class UnknownRoute(GatewayError):
    """The model has no route yet."""

    def __init__(self, model: str) -> None:
        super().__init__(f"model {model!r} has no route; write one with `gateway routes apply`")
        self.model = model


class VersionUnavailable(GatewayError):
    """A version exists but cannot answer now: loading, unloaded, draining or failed."""

    def __init__(self, model: str, version: int, state: str, reason: str = "") -> None:
        super().__init__(f"version {version} of model {model!r} is {state}" + (f": {reason}" if reason else ""))
        self.model = model
        self.version = version
        self.state = state
        self.reason = reason


class LoadFailed(GatewayError):
    """A version that was ordered to be loaded could not be; *reason* says why."""

    def __init__(self, model: str, version: int, reason: str) -> None:
        super().__init__(
            f"version {version} of model {model!r} could not be loaded: {reason}; repair its files and load it again"
        )
        self.model = model
        self.version = version
        self.reason = reason


class VersionInUse(GatewayError):
    """A version cannot be unloaded while the route needs it."""

    def __init__(self, model: str, version: int, why: str) -> None:
        super().__init__(f"version {version} of model {model!r} cannot be unloaded: {why}")
        self.model = model
        self.version = version
        self.why = why


class RevisionConflict(GatewayError):
    """Somebody changed the route first; read it again and reapply the change."""

    def __init__(self, model: str, expected: int | None, actual: int) -> None:
        at = "being written" if expected is None else f"no longer at revision {expected}"
        super().__init__(f"route {model!r} is {at}: it is at revision {actual}; read it again and reapply the change")
        self.model = model
        self.expected = expected
        self.actual = actual


class VersionQuarantined(GatewayError):
    """A rollout took this model file back, so nothing gives it weight until somebody insists."""

    def __init__(self, model: str, version: int, reason: str) -> None:
        super().__init__(
            f"version {version} of model {model!r} was rolled back ({reason}); start over with "
            f"`gateway rollouts retry {model}`, or insist with --force (force: true)"
        )
        self.model = model
        self.version = version


class NoRollout(GatewayError):
    """The model has no rollout to show or to move."""

    def __init__(self, model: str) -> None:
        super().__init__(f"model {model!r} has no rollout; start one with `gateway rollouts start {model} VERSION`")
        self.model = model


class RolloutUnderWay(GatewayError):
    """A model has one rollout at a time."""

    def __init__(self, model: str, candidates: Sequence[int], phase: str) -> None:
        versions = ", ".join(map(str, candidates))
        super().__init__(
            f"a rollout of version {versions} of model {model!r} is under way ({phase}); abort it first "
            f"(`gateway rollouts abort {model}`), or replace it with --supersede (supersede: true)"
        )
        self.model = model
        self.candidates = candidates
        self.state = phase


class RouteOptimized(GatewayError):
    """Labels move the weights of the route, so no rollout can."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"labels move the weights of model {model!r}; write its route without the member optimize before a rollout "
            f"moves them (`gateway routes show {model}`, `gateway routes apply`)"
        )
        self.model = model


class NothingToRestore(GatewayError):
    """A restore names a revision, or a snapshot, that is not there."""


class StoreUnavailable(GatewayError):
    """The store did not answer in time; a write under way may still have landed."""


class CorruptRoute(GatewayError):
    """The store holds something under a route's key that is not a route; *reason* is a short word for a metric."""

    def __init__(self, model: str, reason: str, detail: str = "") -> None:
        super().__init__(f"stored route {model!r} is refused ({reason})" + (f": {detail}" if detail else ""))
        self.model = model
        self.reason = reason


class RecordingsUnreadable(GatewayError):
    """The recordings of this machine cannot be read, written or deleted; *reason* is the system's."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the recordings cannot be used: {reason}; look at the directory recordings/ in the state directory, its "
            f"owner and the room on its disk"
        )
        self.reason = reason


class InvalidModel(GatewayError):
    """A version cannot be loaded; *code* is one of bad_model, unsupported, too_large, external_data, digest, warm_up,
    golden, bad_metadata, unproven, unreadable, no_memory, timeout and unverified."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class InvalidRequest(GatewayError):
    """The caller sent something that cannot be answered; *code* is a short stable name for scripts."""

    def __init__(self, reason: str, code: str = "invalid_request") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RequestTooLarge(InvalidRequest):
    """A body or a tensor is over its limit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "too_large")


class UnsupportedMediaType(InvalidRequest):
    """A body is declared to be of a kind that this door does not read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "unsupported_media_type")


class Overloaded(GatewayError):
    """The version's queue is full; try again later."""

    def __init__(self, model: str, version: int) -> None:
        super().__init__(
            f"version {version} of model {model!r} has as many requests waiting as it may; try again shortly"
        )
        self.model = model
        self.version = version


class BodiesOverloaded(GatewayError):
    """This worker holds as many bytes of bodies as it may; try again later."""

    def __init__(self, body_bytes: int, held_bytes: int) -> None:
        super().__init__(
            f"a body of {body_bytes} bytes finds no room beside those that this worker holds; try again shortly. The "
            f"operator can raise --limits held-bytes={held_bytes}"
        )
        self.body_bytes = body_bytes
        self.held_bytes = held_bytes


class FeedbackOverloaded(GatewayError):
    """More feedback comes than this worker takes beside its requests; send it again later."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"more feedback for model {model!r} comes than this worker takes beside its requests; send it again "
            f"shortly, with many items in one body, what was counted is a duplicate then"
        )
        self.model = model


class DeadlineExceeded(GatewayError):
    """The caller's deadline passed before an answer was there."""

    def __init__(self, model: str, version: int) -> None:
        super().__init__(f"model {model!r} version {version} did not answer before the request's deadline")
        self.model = model
        self.version = version


class ModelFailed(GatewayError):
    """The model raised, or gave an output that is none; *code* is model_error or nonfinite_output.

    The runtime's own words stay out of the message: they hold paths. They are logged.
    """

    def __init__(self, model: str, version: int, reason: str, code: str = "model_error") -> None:
        super().__init__(f"version {version} of model {model!r} failed: {reason}")
        self.model = model
        self.version = version
        self.reason = reason
        self.code = code


class InputRefused(ModelFailed):
    """The runtime calls a value of the input an invalid argument, such as an index that is out of range.

    Whether the input or the version is at fault is open until the baseline has seen the same tensors.
    """


class RejectedInput(InvalidRequest):
    """The input is at fault: a version that is trusted refuses it too."""

    def __init__(self, model: str, version: int) -> None:
        super().__init__(
            f"version {version} of model {model!r} refuses a value of this input, such as an index that is out of "
            f"range; send values that the model was made for",
            "model_rejected_input",
        )


class RunStopped(GatewayError):
    """A run was ended from outside; the lane says what that means for those who wait for it."""

    def __init__(self, model: str, version: int) -> None:
        super().__init__(f"a run of version {version} of model {model!r} was stopped")


class VersionStuck(GatewayError):
    """A run of the version neither ends nor can be ended, so nobody is let wait behind it."""

    def __init__(self, model: str, version: int) -> None:
        super().__init__(
            f"version {version} of model {model!r} hangs in a run that cannot be stopped; try again when it has ended"
        )
        self.model = model
        self.version = version


class Quarantined(GatewayError):
    """The same tensors were being run on the version when workers crashed, so they are not run again for a while."""

    def __init__(self, model: str, version: int) -> None:
        super().__init__(
            f"version {version} of model {model!r} was running exactly this input when two workers crashed; "
            f"it is not run again for ten minutes. Report it to whoever made the model"
        )
        self.model = model
        self.version = version


class Unauthenticated(GatewayError):
    """A token is needed that was not given or is not known."""


class Forbidden(GatewayError):
    """The role of the token does not allow this, or nobody may do it here."""


class TooManyAttempts(GatewayError):
    """Too many wrong tokens came from one address."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many wrong tokens from this address; try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class TooManyRequests(GatewayError):
    """One caller asks for more than its share of a worker."""

    def __init__(self, what: str) -> None:
        """*what* the caller does, and what it may."""
        super().__init__(f"this caller {what}; wait for answers, or try again in a second")


class UnknownPrediction(GatewayError):
    """Nothing that was answered under this id is remembered."""

    def __init__(self, model: str, name: str) -> None:
        super().__init__(
            f"no answer of model {model!r} with the id {name!r} is remembered; send the id of an answer, and see in "
            f"gateway_quality_dropped_total whether answers are left out"
        )
        self.code = "unknown_id"


class LabelTooLate(GatewayError):
    """What was answered under this id is too old to be counted."""

    def __init__(self, model: str, name: str) -> None:
        super().__init__(
            f"the answer {name!r} of model {model!r} is older than feedback may be; the operator can raise "
            f"--feedback-ttl"
        )
        self.code = "expired_id"


class LabelConflict(GatewayError):
    """Something else was said of the same answer before, and stays."""

    def __init__(self, model: str, name: str, kind: str) -> None:
        super().__init__(
            f"the answer {name!r} of model {model!r} has another {kind} already, which stays; find out which is right"
        )
        self.code = "conflicting_label"
