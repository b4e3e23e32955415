"""The confined process: rewrite one graph in one way, leave it and a report, end.

Run by ``optimizing.py`` as ``python -m gateway.optimization.child DIRECTORY``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.convert.confinement import confine
from gateway.convert.errors import CannotConvert
from gateway.convert.messages import GRAPH, write_message
from gateway.convert.trial import feeds
from gateway.core.errors import InvalidModel
from gateway.engine import rewriting
from gateway.engine.onnx import OnnxEngine
from gateway.engine.rewriting import CannotRewrite
from gateway.evaluation.tensors import unpack
from gateway.optimization import messages, rewritings
from gateway.optimization.messages import Report

if TYPE_CHECKING:
    from gateway.optimization.messages import Order

CALIBRATED_ROWS: Final = 1000
ROWS_AT_ONCE: Final = 50


def main(scratch: Path) -> int:
    """Follow the order in *scratch*; return the exit code: 0 where a report was written."""
    order = messages.read_order(scratch)
    confine(scratch, seconds=order.seconds)
    try:
        report = Report(said=_rewrite(order, scratch))
    except (CannotRewrite, CannotConvert) as exc:
        report = Report(refusal=str(exc))
    except InvalidModel as exc:
        report = Report(refusal=exc.reason)
    except ImportError as exc:
        report = Report(refusal=f"{exc.name} is not installed; install it with: pip install 'canary-gateway[convert]'")
    write_message(scratch / messages.REPORT, report)
    return 0


def _rewrite(order: Order, scratch: Path) -> str:
    """Leave the new graph in *scratch*; return what there is to tell. Raises CannotRewrite, among others."""
    source, target = scratch / messages.SOURCE, scratch / GRAPH
    if order.kind == rewritings.DYNAMIC_INT8:
        rewriting.quantise_dynamic(source, target)
    elif order.kind == rewritings.STATIC_INT8:
        rewriting.quantise_static(source, target, _batches(scratch))
    elif order.kind == rewritings.FP16:
        rewriting.halve(source, target)
    elif order.kind == rewritings.GRAPH_LEVEL:
        rewriting.optimise_graph(source, target, order.level)
    else:
        return _prune(order, source, target)
    return ""


def _prune(order: Order, source: Path, target: Path) -> str:
    import onnx

    from gateway.optimization.trees import prune_trees
    from gateway.optimization.units import prune_units

    model = onnx.load(source, load_external_data=False)
    if order.kind == rewritings.PRUNE_TREES:
        said = f"{prune_trees(model, int(order.amount))} trees removed"
    else:
        said = f"{prune_units(model, order.amount)} hidden units removed"
    onnx.save(model, target)
    return said


def _batches(scratch: Path) -> list[dict[str, Any]]:
    """Return the first rows as tensors, some at a time."""
    columns = unpack((scratch / messages.COLUMNS).read_bytes())
    signature = OnnxEngine().load(scratch / messages.SOURCE, model="optimised", version=1, threads=1).signature
    rows = min(len(next(iter(columns.values()))), CALIBRATED_ROWS)
    return [
        feeds(signature, {name: column[start : start + ROWS_AT_ONCE] for name, column in columns.items()})
        for start in range(0, rows, ROWS_AT_ONCE)
    ]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
