"""``gateway models evaluate``: how good versions are on rows whose answers are known, and whether that is enough."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import print_json, print_table, say
from gateway.cli.repository import add_models, need, opened
from gateway.core.names import is_model_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gateway.evaluation.evaluation import Outcome

EXAMPLE: Final = """example: gateway models evaluate fraud --versions 1 2 --data labelled.csv --gates gates.yaml

The first version is the baseline. Each is asked every row in a process of its own. What was found out is kept as
evaluation.json beside each version, and what rows and answers looked like as reference.json, which traffic is compared
with. Exit code 1 where a gate fails, or a score that it names cannot be known."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("evaluate", help="score versions on labelled rows, and hold them to gates",
                              epilog=EXAMPLE)  # fmt: skip
    parser.add_argument("name", metavar="MODEL", help="whose versions")
    parser.add_argument("--versions", type=_positive, nargs="+", required=True, metavar="N",
                        help="which versions; the first is the baseline")  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, metavar="ROWS", help="labelled rows: .csv or .parquet")
    parser.add_argument("--target", metavar="COLUMN", help="the column that says what is right [label, or target]")
    parser.add_argument("--gates", type=Path, metavar="FILE", help="YAML with what must be reached")
    add_models(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with all of it")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the picture alone, as SVG")
    parser.add_argument("--no-record", action="store_true", help="keep nothing beside the versions")
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="of the resampling behind intervals [0]")
    parser.add_argument("--timeout", type=_positive, default=300, metavar="SECONDS",
                        help="how long one version may take [300]")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Evaluate; return 0, or 1 where a gate failed."""
    from gateway.evaluation.document import as_json
    from gateway.evaluation.drawing import draw
    from gateway.evaluation.evaluation import Wish, evaluate, record
    from gateway.evaluation.gates import read_gates
    from gateway.evaluation.page import page
    from gateway.models.evaluations import EVALUATION_FILE

    _check(args)
    gates = read_gates(args.gates) if args.gates else None
    with opened(args.models) as copy:
        for version in args.versions:
            need(copy, args.name, version)
        outcome = evaluate(Wish(
            copy.root, args.name, tuple(args.versions), args.data, args.target, gates, args.timeout, args.seed
        ))  # fmt: skip
        if args.json:
            print_json(as_json(outcome))
        else:
            _show(outcome)
        if not args.no_record:
            record(outcome, copy.root)
            for version in args.versions:
                copy.send(args.name, version, [EVALUATION_FILE])
    for path, render in ((args.html, page), (args.plot, draw)):
        if path is not None:
            _write(path, render, outcome)
    return 0 if outcome.passed else 1


def _check(args: argparse.Namespace) -> None:
    if not is_model_name(args.name):
        raise CommandMisused(f"{args.name!r} is no name of a model")
    if len(set(args.versions)) < len(args.versions):
        raise CommandMisused("--versions names a version twice; name each once")


def _show(outcome: Outcome) -> None:
    from gateway.evaluation.document import class_table, gate_table, remarks, score_table

    for titles, rows in (score_table(outcome), class_table(outcome), gate_table(outcome)):
        if rows:
            print_table(titles, rows)
            print()
    for remark in remarks(outcome):
        say(remark)


def _write(path: Path, render: Callable[[Outcome], str], outcome: Outcome) -> None:
    try:
        path.write_text(render(outcome), encoding="utf-8")
    except OSError as exc:
        raise CommandFailed(f"{path} cannot be written: {exc.strerror or exc}; name another place") from exc


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value
