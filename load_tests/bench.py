"""Every promise about speed, measured in one run: the gateway beside raw uvicorn, beside its peers, beside itself.

    python -m load_tests.bench [--mlserver PYTHON] [--pytriton PYTHON] [--only KEY ...] [--seconds 3] [--rounds 3]
                               [--markdown FILE] [--json FILE]

Trust the ratios first, processor time per request next, and requests per second least: the machine is shared and
drifts, and each ratio is of two loads made one right after the other. Nothing is timed before the answers agree with
onnxruntime. A broken promise is printed and is no error; a failed request is, and so is what was asked for and could
not be measured. A peer that was not named is neither.
"""

from __future__ import annotations

import argparse
import compileall
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from load_tests import beside, loading, ourselves, work
from load_tests.plan import Plan, one_or_more, two_cores
from load_tests.report import markdown, text
from load_tests.results import CURVE, Results
from load_tests.verdicts import LOADING, MANY, MEMORY, PROMISES, ROUTED, START, WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from load_tests.verdicts import Promise

KEYS: Final = (*(promise.key for promise in PROMISES), CURVE)

SECTIONS: Final[tuple[tuple[Callable[[Plan, Results], None], tuple[Promise, ...]], ...]] = (
    (ourselves.weigh, (MEMORY, START)),
    (beside.measure, beside.PROMISED),
    (ourselves.workers, (WORKERS,)),
    (ourselves.routed, (ROUTED,)),
    (ourselves.crowded, (MANY,)),
    (loading.measure, (LOADING,)),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its tables, and return 1 if a request failed or something could not be measured."""
    chosen = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        plan = Plan(frozenset(chosen.only), chosen.seconds, chosen.rounds, chosen.mlserver, chosen.pytriton,
                    Path(directory), two_cores())  # fmt: skip
        results = run(plan)
    print(text(results), end="")
    if chosen.markdown:
        chosen.markdown.write_text(markdown(results), encoding="utf-8")
    if chosen.json:
        chosen.json.write_text(json.dumps(results.as_dict(), indent=1) + "\n", encoding="utf-8")
    faults = [*results.faults, *([f"{results.errors()} requests failed"] if results.errors() else [])]
    print(*faults, sep="\n", file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mlserver", metavar="PYTHON", help="interpreter that has mlserver and onnxruntime")
    parser.add_argument("--pytriton", metavar="PYTHON", help="interpreter that has nvidia-pytriton and onnxruntime")
    parser.add_argument("--only", nargs="+", choices=KEYS, default=KEYS, metavar="KEY",
                        help=f"measure these alone: {', '.join(KEYS)}")  # fmt: skip
    parser.add_argument("--seconds", type=one_or_more, default=3, help="length of one load (default: %(default)s)")
    parser.add_argument("--rounds", type=one_or_more, default=3, help="loads per server (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, to be pasted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    return parser.parse_args(arguments)


def run(plan: Plan) -> Results:
    """Make every measurement that *plan* wants; what fails is noted and the rest goes on."""
    compileall.compile_dir(work.ROOT / "gateway", quiet=1)  # an installed gateway has its bytecode
    plan.body.write_bytes(work.items()[0].body)
    results = Results(plan.row().name, plan.cores)
    for section, promises in SECTIONS:
        wanted = [promise for promise in promises if plan.wants(promise)]
        if wanted or (section is beside.measure and CURVE in plan.wanted):
            try:
                section(plan, results)
            except work.FAILURES as exc:
                results.fail(wanted, exc)
    results.findings = {key: finding for key, finding in results.findings.items() if key in plan.wanted}
    return results


if __name__ == "__main__":
    sys.exit(main())
