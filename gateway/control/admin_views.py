"""What the admin API shows, as plain JSON values. Pure; versions are text, as in a route document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.control.fleet import is_model_ready
from gateway.control.rollout_views import rollout_brief
from gateway.core.audit import entry_digest, members_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.control.fleet import FleetVersion
    from gateway.control.route_reader import CurrentRoute
    from gateway.core.document import RouteDocument
    from gateway.core.signature import TensorSpec
    from gateway.ports.metrics import Traffic
    from gateway.ports.routes import AuditEntry
    from gateway.ports.workers import WorkerReport


def model_view(
    model: str, current: CurrentRoute, fleet: Mapping[int, FleetVersion], reports: Sequence[WorkerReport]
) -> dict[str, Any]:
    """Return a model with its route, its last rollout and its versions; what is not there is null."""
    route = current.document
    view = {
        "name": model,
        "ready": is_model_ready(model, _needed(route) if route else fleet, reports),
        "revision": current.revision if current.revision > 0 else None,
        "route": route.as_dict() if route else None,
        "rollout": rollout_brief(current.rollout) if current.rollout else None,
        "versions": [version_view(version, route) for version in fleet.values()],
    }
    if current.damage is not None:
        view["route_error"] = str(current.damage)
    return view


def version_view(version: FleetVersion, route: RouteDocument | None) -> dict[str, Any]:
    """Return a version as the replica has it. *weight* is what the route's split gives it."""
    return {
        "version": str(version.version),
        "state": str(version.state),
        "reason": version.reason,
        "note": version.note,
        "weight": route.split.get(version.version, 0) if route else 0,
        "digest": version.digest,
        "memory_bytes": version.memory_bytes or None,
        "workers": {"ready": version.ready, "total": version.total},
    }


def usage_view(traffic: Traffic | None) -> dict[str, Any] | None:
    """Return what a version took of this replica's processors since it was loaded; null where no worker has it."""
    if traffic is None:
        return None
    return {
        "rows": traffic.rows,
        "cpu_seconds": traffic.cpu_seconds,
        "cpu_seconds_per_row": traffic.cpu_seconds / traffic.rows if traffic.rows else None,
        "cpu_share": traffic.cpu_share,
    }


def version_detail(
    version: FleetVersion, route: RouteDocument | None, metadata: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a version with its signature, null until it was READY once, and what its metadata.yaml says."""
    signature = version.signature
    tensors = signature and {
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
    }
    return {**version_view(version, route), "signature": tensors, "metadata": plain(metadata)}


def history_view(entries: Sequence[AuditEntry]) -> list[dict[str, Any]]:
    """Return audit entries, newest first, each with its digest.

    *at_ms* is milliseconds since the epoch by the store's clock.
    """
    return [entry_view(entry) for entry in entries]


def entry_view(entry: AuditEntry) -> dict[str, Any]:
    """Return what an audit entry says, and the digest that is over exactly this."""
    said = members_of(entry)
    return {**said, "digest": entry_digest(said)}


def readiness_view(reports: Sequence[WorkerReport]) -> dict[str, Any]:
    """Return whether every worker is ready, and per worker what keeps it."""
    reasons = {f"worker {report.slot}": dict(report.not_ready) for report in reports if report.not_ready}
    if not reports:
        reasons = {"workers": {"all": "no worker is running"}}
    return {"ready": not reasons, "reasons": reasons}


def plain(value: object) -> Any:
    """Return *value* as JSON can hold it: YAML knows dates, sets and NaN, and a publisher may write any of them."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    is_json = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_json else str(value)


def _needed(route: RouteDocument) -> frozenset[int]:
    """Return the versions of which one must be ready for the route to be answered."""
    return frozenset(version for version, weight in route.split.items() if weight) | {route.baseline}


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
