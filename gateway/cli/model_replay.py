"""``gateway models replay``: what a version answers to recorded requests, beside what was or another one answers."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import add_flags
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import print_json, print_table
from gateway.cli.recordings import recorded
from gateway.cli.repository import add_models, need, opened
from gateway.core.names import is_model_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from gateway.evaluation.recorded import RecordedRequest
    from gateway.evaluation.replaying import Answers, Comparison
    from gateway.models.working_copy import WorkingCopy

RECORDING: Final = "recording"

EXAMPLE: Final = """example: gateway models replay fraud --version 3 --against 2 --agree 99

Each version is asked every request, by itself, in a process of its own: no gateway answers them and no metric counts
them. With --ask a running gateway answers them, for the versions by their numbers; --url is its admin port, and where
the recording comes from. Exit code 1 where fewer requests agree than --agree asks for."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("replay", help="ask a version recorded requests, and compare its answers", epilog=EXAMPLE)
    parser.add_argument("name", metavar="MODEL", help="whose version")
    parser.add_argument("--version", type=_positive, required=True, metavar="N", help="which version is asked")
    parser.add_argument("--against", type=_positive, metavar="M", help="compare with this version [what was recorded]")
    parser.add_argument("--from", dest="source", default=RECORDING, metavar="FILE",
                        help="requests, one a line [recording: what the gateway recorded]")  # fmt: skip
    add_models(parser)
    parser.add_argument("--ask", metavar="URL",
                        help="ask the gateway with this inference port, such as http://127.0.0.1:8080")  # fmt: skip
    parser.add_argument("--tolerance", type=_tolerance, default=1e-4, metavar="X",
                        help="how far numbers may differ, relative above 1 [0.0001]")  # fmt: skip
    parser.add_argument("--agree", type=_percent, default=100.0, metavar="PERCENT",
                        help="how many of the requests have to agree [100]")  # fmt: skip
    parser.add_argument("--timeout", type=_positive, default=300, metavar="SECONDS",
                        help="how long one version may take [300]")  # fmt: skip
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Replay; return 0, or 1 where too few requests agree."""
    from gateway.evaluation.recorded import read_recorded
    from gateway.evaluation.replaying import compared, recorded_answers

    if not is_model_name(args.name):
        raise CommandMisused(f"{args.name!r} is no name of a model")
    with opened(args.models) as copy:
        if not args.ask:
            for version in filter(None, (args.version, args.against)):
                need(copy, args.name, version)
        requests = read_recorded(_lines(args), args.source)
        ask = partial(_asked, args, copy, requests)
        expected = recorded_answers(requests) if args.against is None else ask(args.against)
        came = ask(args.version)
    comparison = compared(requests, expected, came, tolerance=args.tolerance)
    report = _report(args, comparison, expected, came)
    if args.json:
        print_json(report)
    else:
        _show(report)
    return 0 if report["passed"] else 1


def _lines(args: argparse.Namespace) -> Iterator[bytes]:
    """Yield the requests of the gateway's recording, or of a file."""
    if args.source == RECORDING:
        yield from recorded(args, args.name)
        return
    try:
        with Path(args.source).open("rb") as file:
            yield from file
    except OSError as exc:
        raise CommandFailed(f"{args.source} cannot be read: {exc.strerror}; name another file with --from") from exc


def _asked(args: argparse.Namespace, copy: WorkingCopy, requests: Sequence[RecordedRequest], version: int) -> Answers:
    """Ask a version in a process of its own, or the gateway of ``--ask``."""
    if args.ask:
        from gateway.evaluation.pinned import asked_gateway

        return asked_gateway(args.ask, args.name, version, requests, seconds=args.timeout)
    from gateway.evaluation.replaying import replayed

    model = copy.root / args.name / str(version) / "model.onnx"
    return replayed(model, requests, called=f"version {version} of {args.name}", seconds=args.timeout)


def _report(args: argparse.Namespace, found: Comparison, expected: Answers, came: Answers) -> dict[str, Any]:
    return {
        "model": args.name,
        "version": str(args.version),
        "against": RECORDING if args.against is None else str(args.against),
        "requests": found.requests,
        "agreed": found.agreed,
        "unanswered": found.unanswered,
        "agreement_percent": round(100 * found.agreement, 4),
        "wanted_percent": args.agree,
        "tolerance": args.tolerance,
        "passed": 100 * found.agreement >= args.agree,
        "outputs": [
            {"name": name, "compared": each.compared, "differ": each.differ, "largest": each.largest}
            for name, each in found.outputs.items()
        ],
        "served": [
            {"version": version or None, "requests": counts[0], "differ": counts[1]}
            for version, counts in sorted(found.served.items())
        ],
        "differences": found.differences,
        "latency_ms": {"version": came.latency(), "against": expected.latency()},
    }


def _show(report: dict[str, Any]) -> None:
    against = "what was recorded" if report["against"] == RECORDING else f"version {report['against']}"
    print(
        f"version {report['version']} of {report['model']} against {against}: "
        f"{report['agreed']} of {report['requests']} requests agree, {report['agreement_percent']:g} % "
        f"({report['wanted_percent']:g} % wanted)"
    )
    if report["unanswered"]:
        print(f"{report['unanswered']} requests got no answer")
    outputs = [(each["name"], each["compared"], each["differ"], each["largest"]) for each in report["outputs"]]
    print_table(("OUTPUT", "COMPARED", "DIFFER", "LARGEST DISTANCE"), outputs)
    print()
    print_table(("SERVED BY", "REQUESTS", "DIFFER"), [tuple(each.values()) for each in report["served"]])
    latencies = [
        (f"version {version}", *latency.values())
        for version, latency in zip((report["version"], report["against"]), report["latency_ms"].values(), strict=True)
        if latency is not None
    ]
    if latencies:
        print()
        print_table(("ONE REQUEST, ms", "p50", "p95", "p99"), latencies)
    if report["differences"]:
        print()
        rows = [(each["line"], each["id"], each["served"], each["what"]) for each in report["differences"]]
        print_table(("LINE", "ID", "SERVED BY", "WHAT DIFFERS"), rows)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError
    return value
