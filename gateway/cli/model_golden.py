"""``gateway models golden``: keep requests with a version, and the answers that it gives to them now."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandMisused
from gateway.cli.output import plain, print_json
from gateway.cli.repository import add_models, need, opened
from gateway.core.names import is_model_name, version_number

if TYPE_CHECKING:
    import argparse

EXAMPLE: Final = """example: gateway models golden fraud 3 --from requests.jsonl

A line of the file is one request of the Open Inference Protocol, as JSON. Every gateway replays them before the version
is READY, and once more before the first step of its rollout. What the version had before is replaced."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("golden", help="keep requests with a version, and its answers to them", epilog=EXAMPLE)
    parser.add_argument("name", metavar="MODEL", help="the model")
    parser.add_argument("version", metavar="VERSION", help="the version that is asked")
    parser.add_argument("--from", dest="requests", type=Path, required=True, metavar="FILE", help="the requests")
    add_models(parser)
    parser.add_argument("--tolerance", type=_tolerance, default=1e-4, metavar="X",
                        help="how far numbers of a replay may differ, relative above 1 [0.0001]")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Record; return 0."""
    from gateway.convert.golden import record_golden
    from gateway.models.repository import GOLDEN_FILE, METADATA_FILE

    version = version_number(args.version)
    if version is None or not is_model_name(args.name):
        raise CommandMisused(f"{args.name!r} {args.version!r} is no model and version; write such as fraud 3")
    with opened(args.models) as copy:
        need(copy, args.name, version)
        done = record_golden(copy.root, args.name, version, args.requests, tolerance=args.tolerance)
        copy.send(args.name, version, [GOLDEN_FILE, METADATA_FILE])  # the one that names the other's digest last
    path = f"{copy.name}/{args.name}/{version}/{GOLDEN_FILE}"
    if args.json:
        print_json({"model": args.name, "version": str(version), **asdict(done), "path": path})
    else:
        print(f"{done.requests} golden requests of version {version} of {args.name} are in {plain(path)}")
    return 0


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value
