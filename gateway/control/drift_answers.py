"""The answer of the admin API about drift and anomalies: it translates and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from gateway.core.drift import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.control.anomalies import AnomalyBoard
    from gateway.control.drift import DriftBoard
    from gateway.core.anomalies import Anomaly
    from gateway.core.drift import ColumnFinding


class Boards:
    """What is known of drift and of anomalies, together; implements ``ports.DriftMetrics``."""

    def __init__(self, drift: DriftBoard, anomalies: AnomalyBoard) -> None:
        self.drift = drift
        self._anomalies = anomalies

    def findings(self) -> Mapping[str, Mapping[int, Sequence[ColumnFinding]]]:
        """Return model → version → what is known of its columns."""
        return self.drift.findings()

    def rows(self) -> Mapping[str, Mapping[int, int]]:
        """Return model → version → rows that were compared."""
        return self.drift.rows()

    def anomalies(self) -> Mapping[str, Mapping[int, Sequence[Anomaly]]]:
        """Return model → version → what is out of the ordinary now."""
        return self._anomalies.anomalies()

    async def tick(self) -> None:
        """Look at both."""
        await self.drift.tick()
        await self._anomalies.tick()


async def show_drift(call: Call) -> Response:
    """Show every version of which something is known, also while it has no reference yet."""
    model, boards = call.model, call.admin.drift
    call.operations.versions(model)
    if boards is None:
        return JSONResponse({"model": model, "versions": []})
    rows, unusual = boards.rows().get(model, {}), boards.anomalies().get(model, {})
    findings = boards.drift.of(model)
    versions = [
        _version(boards, model, version, rows.get(version, 0), findings.get(version, ()), unusual.get(version, ()))
        for version in sorted({*rows, *unusual})
    ]
    return JSONResponse({"model": model, "versions": versions})


def _version(
    boards: Boards, model: str, version: int, rows: int, findings: Sequence[ColumnFinding], found: Sequence[Anomaly]
) -> dict[str, Any]:
    reference = boards.drift.reference(model, version)
    drifted = [each.text for each in findings if each.state is State.DRIFTED]
    told = None
    if reference is not None:
        told = {
            "source": reference.source, "rows": reference.rows, "created": reference.created, "digest": reference.digest
        }  # fmt: skip
    return {
        "version": str(version), "reference": told, "rows": rows, "drifted": bool(drifted), "reasons": drifted,
        "columns": [each.as_dict() for each in findings],
        "anomalies": [{"series": e.series, "value": e.value, "usual": list(e.usual), "reason": e.text} for e in found],
    }  # fmt: skip
