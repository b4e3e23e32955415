"""``gateway models optimize``: smaller or faster versions of a version, measured beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandMisused
from gateway.cli.output import print_json, print_table, say
from gateway.cli.repository import add_models, need, opened
from gateway.core.names import is_model_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from gateway.evaluation.asking import Asked
    from gateway.optimization.optimizing import Child, Outcome
    from gateway.optimization.rewritings import Rewriting

EXAMPLE: Final = """example: gateway models optimize digits 2 --dynamic-int8 --fp16 --data rows.csv --target target

Each flag makes one child, which is published where it answers as its parent and is smaller or faster.
Exit code 1 where some child was not published; why is said of each."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("optimize", help="make smaller or faster versions of a version", epilog=EXAMPLE)
    parser.add_argument("name", metavar="MODEL", help="the model that gets versions")
    parser.add_argument("version", type=_positive, metavar="VERSION", help="their parent")
    parser.add_argument("--data", type=Path, required=True, metavar="ROWS",
                        help="rows to compare on, and to calibrate with: .csv, .parquet or .npy")  # fmt: skip
    parser.add_argument("--target", metavar="COLUMN", help="a column of them that versions are not asked")
    parser.add_argument("--dynamic-int8", action="store_true", help="weights of 8 bits")
    parser.add_argument("--static-int8", action="store_true", help="weights and activations of 8 bits")
    parser.add_argument("--fp16", action="store_true", help="weights and inner results of 16 bits")
    parser.add_argument(
        "--graph-level", choices=("basic", "extended", "all"), help="the graph as the runtime rewrites it"
    )
    parser.add_argument("--prune-weights", type=_share, metavar="T",
                        help="without hidden units that count under T of the most in their layer")  # fmt: skip
    parser.add_argument("--prune-trees", type=_positive, metavar="N", help="the first N trees of an ensemble alone")
    parser.add_argument("--tolerance", type=_share, default=0.1, metavar="X",
                        help="how far numbers may differ, relative above 1 [0.1]")  # fmt: skip
    parser.add_argument("--beyond", type=_share, default=0.01, metavar="SHARE",
                        help="rows that may differ by more, or in their label [0.01]")  # fmt: skip
    add_models(parser)
    parser.add_argument("--timeout", type=_positive, default=300, metavar="SECONDS",
                        help="how long one step of one child may take [300]")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Optimise; return 0 where every child was published, else 1."""
    from gateway.optimization.optimizing import Wish, optimize

    wanted = tuple(_wanted(args))
    _check(args, wanted)
    with opened(args.models) as copy:
        need(copy, args.name, args.version)
        outcome = optimize(Wish(
            copy.root, args.name, args.version, wanted, args.data, args.target, args.tolerance, args.beyond,
            args.timeout, copy.publish,
        ))  # fmt: skip
    if args.json:
        print_json(_document(outcome))
    else:
        _show(outcome)
    return 0 if all(child.version is not None for child in outcome.children) else 1


def _wanted(args: argparse.Namespace) -> Iterator[Rewriting]:
    from gateway.optimization import rewritings
    from gateway.optimization.rewritings import Rewriting

    if args.dynamic_int8:
        yield Rewriting(rewritings.DYNAMIC_INT8)
    if args.static_int8:
        yield Rewriting(rewritings.STATIC_INT8)
    if args.fp16:
        yield Rewriting(rewritings.FP16)
    if args.graph_level:
        yield Rewriting(rewritings.GRAPH_LEVEL, level=args.graph_level)
    if args.prune_weights is not None:
        yield Rewriting(rewritings.PRUNE_WEIGHTS, amount=args.prune_weights)
    if args.prune_trees is not None:
        yield Rewriting(rewritings.PRUNE_TREES, amount=args.prune_trees)


def _check(args: argparse.Namespace, wanted: tuple[Rewriting, ...]) -> None:
    if not is_model_name(args.name):
        raise CommandMisused(f"{args.name!r} is no name of a model")
    if not wanted:
        raise CommandMisused("nothing is to be done; add --dynamic-int8, --fp16 or another flag that makes a child")


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "model": outcome.wish.name,
        "parent": {"version": str(outcome.wish.version), **_costs(outcome.parent)},
        "children": [
            {
                "rewriting": child.rewriting.name,
                "version": None if child.version is None else str(child.version),
                "why_not": child.why, "said": child.said,
                **({} if child.asked is None else _costs(child.asked)),
                **_parity(child),
            }
            for child in outcome.children
        ],
    }  # fmt: skip


def _costs(asked: Asked) -> dict[str, float]:
    return {
        "size_bytes": asked.size_bytes, "load_ms": asked.load_ms, "latency_p50_ms": asked.row.p50_ms,
        "latency_p99_ms": asked.row.p99_ms, "batch_latency_p50_ms": asked.batch.p50_ms,
        "batch_latency_p99_ms": asked.batch.p99_ms,
    }  # fmt: skip


def _parity(child: Child) -> dict[str, Any]:
    from gateway.optimization.optimizing import beyond, largest

    if child.parity is None:
        return {}
    apart = largest(child.parity)
    return {
        "rows": child.parity.rows, "rows_beyond": beyond(child.parity),
        "largest_difference": apart if apart is not None and math.isfinite(apart) else None,
    }  # fmt: skip


def _show(outcome: Outcome) -> None:
    parent = outcome.parent
    rows = [(outcome.wish.version, "the parent", None, None, *_cells(parent))]
    for child in outcome.children:
        found = _parity(child)
        apart = found.get("largest_difference")
        rows.append((
            child.version, child.rewriting.name,
            f"{found['rows_beyond']} of {found['rows']}" if found else None,
            None if apart is None else f"{apart:.2g}",
            *(("-",) * 4 if child.asked is None else _cells(child.asked)),
        ))  # fmt: skip
    print_table(
        ("VERSION", "MADE BY", "ROWS BEYOND", "LARGEST DIFFERENCE", "BYTES", "ROW MS", "BATCH MS", "LOAD MS"), rows
    )
    for child in outcome.children:
        if child.said:
            say(f"{child.rewriting.name}: {child.said}")
        if child.version is None:
            say(f"{child.rewriting.name} is not published: {child.why}")


def _cells(asked: Asked) -> tuple[str, ...]:
    return (f"{asked.size_bytes}", *(f"{each:.3g}" for each in (asked.row.p50_ms, asked.batch.p50_ms, asked.load_ms)))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value
