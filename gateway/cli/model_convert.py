"""``gateway models convert``: a saved estimator, or an ONNX file, becomes the next version of a model."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli import repository
from gateway.cli.errors import CommandMisused
from gateway.cli.output import plain, print_json, print_table, say

if TYPE_CHECKING:
    import argparse

    from gateway.convert.conversion import Done
    from gateway.convert.parity import Parity

EXAMPLE: Final = """example: gateway models convert fraud.joblib --name fraud --sample rows.csv --trust

FILE is .joblib, .pkl or .pickle (a pickle: read only with --trust), .skops, XGBoost's .ubj or .json, .onnx (published
as it is), a folder that MLflow saved, or mlflow://NAME/VERSION or mlflow://NAME@ALIAS at the server of --mlflow.
The sample's columns name the inputs; its rows are asked of both, and the differences are kept in metadata.yaml.
Exit code 1 where the two differ: the version is then published as failed, and no gateway serves it."""

KEPT_FROM: Final = ("no network", "no other processes", "no writing elsewhere", "few processes")
"""What the process that reads a file is kept from where the kernel can; it never limits the processes of root."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("convert", help="make a version of a scikit-learn or ONNX file", epilog=EXAMPLE)
    parser.add_argument("file", metavar="FILE", help="the fitted estimator, an ONNX file, or a model of MLflow")
    parser.add_argument("--name", required=True, metavar="MODEL", help="the model that gets a version")
    repository.add_models(parser)
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--sample", type=Path, metavar="ROWS", help="rows to compare on: .csv, .parquet or .npy")
    rows.add_argument("--data", type=Path, metavar="ROWS", help="the same, and they are what it was trained on")
    parser.add_argument(
        "--trust", action="store_true", help="read a file that may run code; it is kept apart all the same"
    )
    parser.add_argument("--tolerance", type=_positive, default=1e-4, metavar="X",
                        help="how far numbers may differ, relative above 1 [0.0001]")  # fmt: skip
    parser.add_argument("--beyond", type=_count, default=0, metavar="ROWS", help="rows that may differ by more [0]")
    parser.add_argument("--golden", type=_count, default=0, metavar="ROWS",
                        help="keep so many rows of the sample, and the answers, as golden requests [0]")  # fmt: skip
    parser.add_argument("--mlflow", default="", metavar="URL", help="the MLflow server that mlflow:// names models of")
    parser.add_argument("--notes", default="", metavar="TEXT", help="what people should know of the version")
    parser.add_argument("--parent", action="append", default=[], metavar="PARENT",
                        help="what it was made from: MODEL/VERSION, or MODEL/VERSION:fine-tuned-from")  # fmt: skip
    parser.add_argument("--timeout", type=_count, default=300, metavar="SECONDS", help="how long it may take [300]")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Convert; return 0, or 1 where the version was published as failed."""
    from gateway.convert.conversion import Wish, convert
    from gateway.convert.sources import opened

    if args.timeout == 0:
        raise CommandMisused("--timeout must be at least 1 s")
    with repository.opened(args.models) as copy, opened(args.file, args.mlflow) as source:
        if args.parent:
            copy.fetch_lineage()
        done = convert(Wish(
            source.file, args.name, copy.root, args.data or args.sample, args.data is not None, args.trust,
            args.tolerance, args.beyond, args.notes, tuple(args.parent), args.timeout, args.golden, source.known,
            publish=copy.publish,
        ))  # fmt: skip
    place = f"{copy.name}/{done.name}/{done.version}"
    for note in done.notes:
        say(note)
    missing = [each for each in KEPT_FROM if each not in done.held]
    if done.held and missing:
        say(f"this kernel could not keep the process that read the file to: {', '.join(missing)}")
    if args.json:
        print_json(_document(done, place))
    else:
        _show(done, place)
    return 1 if done.failed else 0


def _document(done: Done, place: str) -> dict[str, Any]:
    """Return what scripts read; numbers that JSON has not are null."""
    parity = None if done.parity is None else {"holds": done.parity.holds, **asdict(done.parity)}
    for each in parity["outputs"] if parity else ():
        for name in ("largest_absolute", "largest_relative"):
            each[name] = _finite(each[name])
    return {
        "model": done.name, "version": str(done.version), "path": place, "sha256": done.sha256,
        "failed": done.failed, "parity": parity, "isolation": list(done.held),
    }  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


def _show(done: Done, place: str) -> None:
    if done.parity is not None:
        print_table(("OUTPUT", "ROWS", "BEYOND", "FIRST AT ROW", "LARGEST ABSOLUTE", "LARGEST RELATIVE"),
                    _lines(done.parity))  # fmt: skip
    if done.failed:
        say(f"version {done.version} of {done.name} is published as FAILED: {done.failed}")
    else:
        print(f"version {done.version} of {done.name} is in {plain(place)}; it gets no traffic until a route names it")


def _lines(parity: Parity) -> list[tuple[object, ...]]:
    return [
        (
            each.output, parity.rows, each.beyond, each.where[0] if each.where else None,
            *("-" if value is None else f"{value:.2g}" for value in (each.largest_absolute, each.largest_relative)),
        )
        for each in parity.outputs
    ]  # fmt: skip


def _positive(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value
