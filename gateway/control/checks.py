"""What a route and an order must fulfil here and now, beyond being well-formed.

Pure: the caller brings the document, what the fleet says of the model's versions, and what is in
the repository. A refusal is an error that names the culprit; silence is consent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.control.fleet import is_last_ready
from gateway.core.compatibility import compare, compare_inputs, misfits, summary
from gateway.core.errors import InvalidDocument, UnknownVersion, VersionInUse, VersionUnavailable
from gateway.core.phases import ENDED
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from gateway.control.fleet import FleetVersion
    from gateway.core.document import RouteDocument
    from gateway.core.rollout import Rollout
    from gateway.core.signature import Signature
    from gateway.ports.workers import WorkerReport

MAX_REASON: Final = 500


def check_optimize(document: RouteDocument, rollout: Rollout | None) -> None:
    """Refuse to let labels move the weights that a *rollout* is moving. Raises InvalidDocument."""
    if document.optimize is None or rollout is None or rollout.phase in ENDED:
        return
    versions = ", ".join(map(str, rollout.candidates))
    raise InvalidDocument(
        "optimize", f"a rollout of version {versions} moves the weights ({rollout.phase}); let it end or abort it "
        f"(`gateway rollouts abort {document.model}`), or leave optimize out",
    )  # fmt: skip


def check_presence(
    document: RouteDocument,
    fleet: Mapping[int, FleetVersion],
    on_disk: Collection[int],
    *,
    before: RouteDocument | None = None,
) -> None:
    """Refuse a route that needs a version which is neither in the repository nor ready on a worker.

    Ready counts although the file is gone: while a repository is away, traffic must still be able
    to move back. So must it when an alias's version has vanished: an alias that the route had *before* is let be.
    Raises InvalidDocument for the baseline and an alias, VersionUnavailable for the others.
    """
    needed = {"baseline": document.baseline}
    for name, version in document.aliases.items():
        if before is None or before.aliases.get(name) != version:
            needed[f"aliases.{name}"] = version
    for field, version in needed.items():
        if not _is_present(version, fleet, on_disk):
            raise InvalidDocument(
                field,
                f"version {version} is not in the repository; "
                f"`gateway versions list {document.model}` shows those that are",
            )
    for _, version in weighted(document):
        if not _is_present(version, fleet, on_disk):
            raise VersionUnavailable(document.model, version, "not in the repository")


def check_health(document: RouteDocument, fleet: Mapping[int, FleetVersion]) -> None:
    """Refuse traffic for a version that FAILED on some worker. One that is loading, or not loaded yet, is accepted."""
    for _, version in weighted(document):
        seen = fleet.get(version)
        if seen is not None and seen.state is VersionState.FAILED:
            raise VersionUnavailable(document.model, version, seen.state, seen.reason)


def check_signatures(document: RouteDocument, fleet: Mapping[int, FleetVersion]) -> None:
    """Refuse traffic for a version that callers of the baseline would notice, as far as both signatures are known.

    One that merely takes or answers more is let in: the baseline stands in for it where it can run the request.
    """
    baseline = _signature(document.baseline, fleet)
    if baseline is None:
        return
    for field, version in weighted(document):
        signature = _signature(version, fleet)
        found = misfits(compare(baseline, signature)) if signature is not None else ()
        if found:
            raise InvalidDocument(
                field,
                f"version {version} cannot share a route with the baseline, version {document.baseline}: "
                f"{summary(found)}; or give it all the traffic and make it the baseline, in one change",
            )


def check_shadows(
    before: RouteDocument | None,
    document: RouteDocument,
    fleet: Mapping[int, FleetVersion],
    on_disk: Collection[int],
) -> None:
    """Refuse copies for a version that is nowhere, or that cannot run what the baseline can, as far as both are known.

    Only what *before*, the document that is replaced, did not have is looked at: a shadow answers nobody, so one that
    is gone or has FAILED must not be in the way of a change of weights. Raises InvalidDocument.
    """
    baseline = _signature(document.baseline, fleet)
    for version, percent in document.shadow.items():
        if not percent or (before is not None and before.shadow.get(version)):
            continue
        field = f"shadow.{version}"
        if not _is_present(version, fleet, on_disk):
            raise InvalidDocument(
                field,
                f"version {version} is not in the repository; "
                f"`gateway versions list {document.model}` shows those that are",
            )
        signature = _signature(version, fleet)
        found = misfits(compare_inputs(baseline, signature)) if baseline is not None and signature is not None else ()
        if found:
            raise InvalidDocument(
                field,
                f"version {version} cannot run copies of what the baseline, version {document.baseline}, is asked: "
                f"{summary(found)}",
            )


def check_record(before: RouteDocument | None, document: RouteDocument, fleet: Mapping[int, FleetVersion]) -> None:
    """Refuse to hide what the baseline's signature, where it is known, does not have: nothing would be recorded.

    A record that the route had *before* is let be: it must not be in the way of a change of weights. Raises
    InvalidDocument.
    """
    signature = _signature(document.baseline, fleet)
    if document.record is None or signature is None or (before is not None and before.record == document.record):
        return
    for each in document.record.redact:
        why = each.why_not(signature)
        if why:
            raise InvalidDocument(
                f"record.redact.{each.name}",
                f"cannot be hidden in what the baseline, version {document.baseline}, is asked and answers: {why}",
            )


def check_feedback(before: RouteDocument | None, document: RouteDocument, fleet: Mapping[int, FleetVersion]) -> None:
    """Refuse to keep, or to hide, inputs that the baseline's signature, where it is known, does not have.

    What the route said *before* is let be, as by ``check_record``. Raises InvalidDocument.
    """
    signature = _signature(document.baseline, fleet)
    if document.feedback is None or signature is None or (before and before.feedback == document.feedback):
        return
    found = document.feedback.why_not(signature)
    if found is not None:
        member, why = found
        raise InvalidDocument(
            f"feedback.{member}", f"does not fit what the baseline, version {document.baseline}, is asked: {why}"
        )


def check_unload(
    model: str,
    version: int,
    *,
    route: RouteDocument | None,
    fleet: Mapping[int, FleetVersion],
    reports: Sequence[WorkerReport],
    leaving: Collection[int],
) -> None:
    """Raise VersionInUse while *version* is needed: by the route, by its own load, or as the last one that is ready.

    *leaving* are the versions whose unloading was ordered before.
    """
    if route is not None:
        _check_unrouted(route, version)
    if version in fleet and fleet[version].state is VersionState.LOADING:
        raise VersionInUse(model, version, "it is being loaded; wait until it is READY or FAILED")
    if is_last_ready(model, version, reports, leaving):
        raise VersionInUse(model, version, "it is the last one that is ready; load another one first")


def check_reason(reason: str) -> None:
    """Refuse a reason that is not one line of at most MAX_REASON characters: it is shown in tables, pages and logs."""
    if len(reason) > MAX_REASON:
        raise InvalidDocument("reason", f"write at most {MAX_REASON} characters")
    if not reason.isprintable():
        raise InvalidDocument("reason", "write one line of text, without control characters")


def check_candidate(document: RouteDocument, candidate: int, fleet: Mapping[int, FleetVersion]) -> None:
    """Refuse a canary that nobody has, that FAILED, that is the baseline, or that its callers would notice.

    Raises UnknownVersion, VersionUnavailable, or InvalidDocument, to whose path the caller adds the member.
    """
    if candidate not in fleet:
        raise UnknownVersion(document.model, str(candidate))
    if candidate == document.baseline:
        reason = f"version {candidate} is the baseline already; name another one, or nothing could be compared"
        raise InvalidDocument("", reason)
    alone = replace(document, split={candidate: 1}, rules=())
    check_health(alone, fleet)
    try:
        check_signatures(alone, fleet)
    except InvalidDocument as exc:
        raise InvalidDocument("", exc.reason) from exc


def weighted(document: RouteDocument) -> Iterator[tuple[str, int]]:
    """Yield each version that *document* gives traffic to, with the path of the member that does."""
    for version, weight in document.split.items():
        if weight > 0:
            yield f"split.{version}", version
    for index, rule in enumerate(document.rules):
        for version, weight in rule.split.items():
            if weight > 0:
                yield f"rules[{index}].split.{version}", version


def _check_unrouted(route: RouteDocument, version: int) -> None:
    move = f"move it away first (`gateway weights set {route.model} …`)"
    if route.split.get(version, 0) > 0:
        raise VersionInUse(route.model, version, f"the route gives it weight {route.split[version]}; {move}")
    if route.baseline == version:
        raise VersionInUse(route.model, version, "it is the route's baseline; name another one first")
    if route.shadow.get(version):
        raise VersionInUse(route.model, version, "the route copies requests to it; take it out of its shadow first")
    for number, rule in enumerate(route.rules, start=1):
        if version in rule.split:
            raise VersionInUse(route.model, version, f"rule {number} of the route names it; change the rule first")
    for name, pinned in route.aliases.items():
        if pinned == version:
            raise VersionInUse(route.model, version, f"the alias {name} points to it; point it elsewhere first")


def _is_present(version: int, fleet: Mapping[int, FleetVersion], on_disk: Collection[int]) -> bool:
    return version in on_disk or (version in fleet and fleet[version].ready > 0)


def _signature(version: int, fleet: Mapping[int, FleetVersion]) -> Signature | None:
    return fleet[version].signature if version in fleet else None
