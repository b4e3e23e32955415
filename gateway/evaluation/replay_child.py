"""The confined process of a replay: load one version, ask it each request by itself, leave answers and times, end.

Run by ``replaying.py`` as ``python -m gateway.evaluation.replay_child DIRECTORY``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.convert.confinement import confine
from gateway.convert.messages import write_message
from gateway.core.errors import InvalidModel, ModelFailed
from gateway.engine.onnx import OnnxEngine
from gateway.evaluation import messages
from gateway.evaluation.messages import Replayed
from gateway.evaluation.tensors import pack
from gateway.models.golden import parse_request
from gateway.models.replay import Unfit, answer, refused

import numpy as np  # isort: skip - after gateway.convert, which sets what its libraries read

if TYPE_CHECKING:
    from gateway.ports.engine import Session, Tensor


def main(scratch: Path) -> int:
    """Follow the order in *scratch*; return the exit code: 0 where a report was written."""
    order = messages.read_order(scratch)
    confine(scratch, seconds=order.seconds)
    try:
        session = OnnxEngine().load(scratch / messages.GRAPH, model="replayed", version=1, threads=1)
    except InvalidModel as exc:
        report = Replayed(refusal=f"it cannot be loaded ({exc.code}): {exc.reason}")
    else:
        report = _replay(session, scratch)
    write_message(scratch / messages.REPORT, report)
    return 0


def _replay(session: Session, scratch: Path) -> Replayed:
    """Leave the answers in *scratch*, each under the place of its request among them and the output's name."""
    failures: dict[int, str] = {}
    took: list[float] = []
    answers: dict[str, Tensor] = {}
    for index, line in enumerate((scratch / messages.REQUESTS).read_bytes().splitlines()):
        request = parse_request(index, line)
        began = time.perf_counter()
        try:
            outputs = answer(session, request)
        except (ModelFailed, Unfit) as exc:
            failures[index] = refused(exc)
            continue
        took.append((time.perf_counter() - began) * 1e3)
        answers |= {f"{index} {spec.name}": np.asarray(value) for spec, value in outputs}
    (scratch / messages.ANSWERS).write_bytes(pack(answers))
    return Replayed(
        failures=failures, milliseconds=took, datatypes={s.name: s.datatype for s in session.signature.outputs}
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
