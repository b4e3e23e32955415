"""What is told of single calls, over gRPC: the same as over HTTP, with the trace from the call's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.trace_context import TraceContext
from tests.rest.test_witnesses import PARENT, TRACE, Notebook
from tests.rpc.door import message

if TYPE_CHECKING:
    from tests.rpc.door import RpcDoor

METADATA = (("traceparent", PARENT), ("tracestate", "congo=1"), ("x-request-id", "abc"))


async def test_a_witness_sees_the_trace_and_the_run_of_a_call(door: RpcDoor) -> None:
    notebook = Notebook()
    door.inference.witnesses = (notebook,)

    await door.infer_message(message(), metadata=METADATA)

    [seen] = notebook.seen
    assert seen.trace == TraceContext(TRACE, "00f067aa0ba902b7", True, "congo=1")
    assert (seen.request_id, seen.door, seen.status, seen.outcome) == ("abc", "grpc", 0, "ok")
    assert (seen.model, seen.version, seen.rule) == ("fraud", 1, "split")
    assert seen.run is not None


async def test_a_refused_call_is_seen_with_its_code(door: RpcDoor) -> None:
    notebook = Notebook()
    door.inference.witnesses = (notebook,)

    said = await door.infer_message(message("nobody"))

    [seen] = notebook.seen
    assert (seen.error, seen.status) == ("UnknownModel", said.code.value[0])
