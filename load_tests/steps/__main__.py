"""Where the processor time of a request goes: servers that each do one step more, up to the gateway, in turns.

    python -m load_tests.steps [--only KEY ...] [--seconds 2] [--rounds 7] [--markdown FILE]

`ladder`: each step over 64 connections; `alone`: over one; `connections`: the gateway and raw uvicorn over 8 to 256;
`versions`: a route to one version, to three, and to three behind five rules. Every server is on the first core and the
load on the last. The machine drifts: many short rounds say more than few long ones. A step is made of the gateway's own
classes, with stand-ins for those above it, so that it goes on to say what the code costs as it is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from load_tests import ourselves, report, work
from load_tests.plan import Plan, one_or_more, two_cores
from load_tests.results import GATEWAY, REFERENCE
from load_tests.steps import ladder
from load_tests.steps import report as said
from load_tests.steps.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from load_tests.report import Table
    from load_tests.turns import Series

LADDER: Final = "ladder"
ALONE: Final = "alone"
CURVE: Final = "connections"
VERSIONS: Final = "versions"
KEYS: Final = (LADDER, ALONE, CURVE, VERSIONS)

Found = tuple[str, "Table", "Sequence[Series]"]
"""A title, what it says, and what that was reckoned from."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and return 1 if a request failed or a server could not be measured."""
    chosen = _parse(arguments)
    blocks, errors = [], 0
    with tempfile.TemporaryDirectory(prefix="steps-") as directory:
        plan = Plan(frozenset(chosen.only), chosen.seconds, chosen.rounds, None, None, Path(directory), two_cores())
        plan.body.write_bytes(work.items()[0].body)
        try:
            for title, table, measured in measure(plan):
                print(f"\n{title}\n{report.aligned(*table)}", flush=True)
                blocks.append(f"{title}:\n\n{report.piped(*table)}\n")
                errors += sum(series.errors(name) for series in measured for name in series.rounds)
        except work.FAILURES as exc:
            print(exc, file=sys.stderr)
            errors += 1
    if chosen.markdown:
        chosen.markdown.write_text("\n".join(blocks), encoding="utf-8")
    return 1 if errors else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load_tests.steps", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=KEYS, default=KEYS, metavar="KEY",
                        help=f"measure these alone: {', '.join(KEYS)}")  # fmt: skip
    parser.add_argument("--seconds", type=one_or_more, default=2, help="length of one load (default: %(default)s)")
    parser.add_argument("--rounds", type=one_or_more, default=7, help="loads per server (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, to be pasted")
    return parser.parse_args(arguments)


def measure(plan: Plan) -> Iterator[Found]:
    """Make what *plan* wants, and yield what each came to. Raises what `work.FAILURES` names."""
    if not plan.wanted.isdisjoint({LADDER, ALONE, CURVE}):
        with ExitStack() as stack:
            yield from _climbed(plan, stack)
    if VERSIONS in plan.wanted:
        with ExitStack() as stack:
            found = ladder.by_versions(plan, stack)
            series = ladder.loaded(plan, "versions", found, ladder.CONNECTIONS, ourselves.USERS)
        title = f"One version and three, {ourselves.USERS} users over {ladder.CONNECTIONS} connections"
        yield title, said.routes(series), (series,)


def _climbed(plan: Plan, stack: ExitStack) -> Iterator[Found]:
    steps = tuple(Step) if plan.wanted & {LADDER, ALONE} else (Step.GATEWAY,)
    found = ladder.climb(plan, stack, steps)
    for key, connections in ((LADDER, ladder.CONNECTIONS), (ALONE, 1)):
        if key in plan.wanted:
            series = ladder.loaded(plan, key, found, connections)
            yield f"Step by step, connections: {connections}", said.ladder(series, steps), (series,)
    if CURVE in plan.wanted:
        ends = [server for server in found if server.name in {GATEWAY, REFERENCE}]
        curve = [(many, ladder.loaded(plan, f"{many} connections", ends, many)) for many in ladder.CURVE]
        yield "By connections", said.curve(curve, GATEWAY, REFERENCE), [series for _, series in curve]


if __name__ == "__main__":
    sys.exit(main())
