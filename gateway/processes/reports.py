"""What each worker says of itself, as one small file that the control process reads.

Written whole at every change and never waited for: the request path knows nothing of it, and either
side may die at any time. A report whose worker is gone is not read.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.core.signature import Signature, TensorSpec
from gateway.core.versions import VersionState, VersionStatus
from gateway.ports.workers import GoldenResult, WorkerReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)


class ReportFile:
    """The file of one worker."""

    def __init__(self, directory: Path, slot: int) -> None:
        self._path = directory / f"worker-{slot}-{os.getpid()}.json"
        self._last: WorkerReport | None = None
        self._is_refused = False

    def write(self, report: WorkerReport) -> None:
        """Replace the file if *report* says something new. A disk that refuses is said once, and tried at each call."""
        if report == self._last:
            return
        content = json.dumps(_to_plain(report), separators=(",", ":")).encode()
        temporary = self._path.with_suffix(".tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(self._path)
        except OSError as exc:
            self._say_refused(exc)
            return
        self._is_refused = False
        self._last = report

    def _say_refused(self, exc: OSError) -> None:
        if not self._is_refused:
            log.error(
                "the report of this worker cannot be written to %s: %s; requests are answered, and operators are shown"
                " what was so before until there is room", self._path.parent, exc,
            )  # fmt: skip
        self._is_refused = True

    def remove(self) -> None:
        """Take the report back: this worker stops."""
        self._path.unlink(missing_ok=True)


class ReportDirectory:
    """Implements Workers over the files of all live workers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, tuple[tuple[int, int, int], WorkerReport]] = {}
        """What was read last, with what told that file from any other."""

    def reports(self) -> Sequence[WorkerReport]:
        """Return the last report of each live worker, by slot; a file that cannot be read is left out and logged."""
        found = []
        paths = sorted(self._directory.glob("worker-*.json"))
        for path in paths:
            try:
                report = self._report(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError) as exc:
                log.warning("the report %s cannot be read: %s", path, exc)
                continue
            if Path(f"/proc/{report.pid}").exists():
                found.append(report)
        self._read = {path: read for path, read in self._read.items() if path in paths}
        return found

    def _report(self, path: Path) -> WorkerReport:
        """Return the report at *path*, read again only where it was replaced."""
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            stamp = facts.st_ino, facts.st_mtime_ns, facts.st_size
            known = self._read.get(path)
            if known is None or known[0] != stamp:
                known = self._read[path] = stamp, _from_plain(json.loads(file.read()))
        return known[1]


def forget(directory: Path, pids: Iterable[int]) -> None:
    """Remove the reports of processes that have ended."""
    for pid in pids:
        for path in directory.glob(f"worker-*-{pid}.json"):
            path.unlink(missing_ok=True)


def _to_plain(report: WorkerReport) -> dict[str, Any]:
    return {
        "slot": report.slot,
        "pid": report.pid,
        "not_ready": dict(report.not_ready),
        "revisions": dict(report.revisions),
        "shares": {model: {str(v): share for v, share in split.items()} for model, split in report.shares.items()},
        "store_up": report.store_up,
        "golden": {
            model: {str(v): [each.rollout, each.lacks, each.failed] for v, each in found.items()}
            for model, found in report.golden.items()
        },
        "queue_limits": {
            model: {str(v): most for v, most in found.items()} for model, found in report.queue_limits.items()
        },
        "versions": [
            {
                "model": status.model,
                "version": status.version,
                "state": status.state.value,
                "reason": status.reason,
                "digest": status.digest,
                "note": status.note,
                "memory_bytes": status.memory_bytes,
                "signature": None
                if status.signature is None
                else [[[t.name, t.datatype, list(t.shape)] for t in side] for side in _sides(status.signature)],
            }
            for status in report.versions
        ],
    }


def _sides(signature: Signature) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    return signature.inputs, signature.outputs


def _from_plain(plain: dict[str, Any]) -> WorkerReport:
    return WorkerReport(
        slot=plain["slot"],
        pid=plain["pid"],
        not_ready=plain["not_ready"],
        revisions=plain["revisions"],
        shares={model: {int(v): share for v, share in split.items()} for model, split in plain["shares"].items()},
        store_up=plain["store_up"],
        golden={
            model: {int(v): GoldenResult(*words) for v, words in found.items()}
            for model, found in plain["golden"].items()
        },
        queue_limits={
            model: {int(v): most for v, most in found.items()} for model, found in plain["queue_limits"].items()
        },
        versions=[
            VersionStatus(
                model=each["model"],
                version=each["version"],
                state=VersionState(each["state"]),
                reason=each["reason"],
                digest=each["digest"],
                note=each["note"],
                memory_bytes=each["memory_bytes"],
                signature=None if each["signature"] is None else _signature(each["signature"]),
            )
            for each in plain["versions"]
        ],
    )


def _signature(sides: list[list[list[Any]]]) -> Signature:
    inputs, outputs = ([TensorSpec(name, kind, tuple(shape)) for name, kind, shape in side] for side in sides)
    return Signature(tuple(inputs), tuple(outputs))
