"""Any request over JSON, binary and gRPC: what is allowed is answered as the runtime does, all else is refused."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import pytest_asyncio

from gateway.rpc.descriptors import MESSAGES
from gateway.rpc.service import Service
from gateway.rpc.status import Status
from tests.requests import cases, model, strict
from tests.requests.cases import PROTOCOLS, Sent
from tests.rest.door import RealDoor
from tests.rest.wire import DTYPE, raw, texts, unpacked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.ports.engine import Tensor

pytestmark = pytest.mark.asyncio(loop_scope="module")

FEW: Final = 700
"""Cases per protocol, valid and mutated each, in ``make test``."""

MANY: Final = 100_000
"""Cases in all in ``make test-long``."""

CALLERS_FAULT: Final = {
    Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.RESOURCE_EXHAUSTED, Status.UNIMPLEMENTED,
}  # fmt: skip
LEAKS: Final = ("Traceback", "onnxruntime", "/usr/", ".py")
SECONDS: Final = 2.0


class Stream:
    """One call as the door shows it to a method, without a network."""

    metadata = ()

    def __init__(self) -> None:
        self.answered: asyncio.Future[bytes | tuple[Status, str]] = asyncio.get_running_loop().create_future()

    def remaining(self) -> float | None:
        return None

    def answer(self, headers: bytes, body: bytes) -> None:
        self.answered.set_result(body)

    def refuse(self, headers: bytes, status: Status, text: str) -> None:
        self.answered.set_result((status, text))


class Doors:
    """One worker's doors, and the runtime called directly."""

    def __init__(self, door: RealDoor, direct: model.Directly) -> None:
        self.door = door
        self.direct = direct
        self._service = Service(door.inference, door.floor.catalog, dict, door.control, door.statistics)

    async def ask(self, sent: Sent) -> dict[str, Tensor] | None:
        """Return the outputs that came back, None where the caller was told that it is at fault; fail on all else."""
        if sent.protocol == "grpc":
            return await self._call(sent.body)
        reply = await self.door.infer(model.MODEL, sent.body, sent.headers)
        if reply.status == 200:
            return unpacked(reply)
        assert 400 <= reply.status < 500, (reply.status, reply.body)
        assert set(reply.json) == {"error", "code", "request_id"}
        assert not any(leak in reply.body.decode() for leak in LEAKS), reply.body
        return None

    async def _call(self, body: bytes) -> dict[str, Tensor] | None:
        stream = Stream()
        self._service._model_infer(stream, body)  # type: ignore[arg-type] # it is all of one that a call looks at
        answer = await stream.answered
        if isinstance(answer, tuple):
            status, text = answer
            assert status in CALLERS_FAULT, answer
            assert not any(leak in text for leak in LEAKS), text
            return None
        return dict(read_answer(MESSAGES["ModelInferResponse"].FromString(answer)))

    async def check(self, sent: Sent) -> bool:
        """Fail unless *sent* is answered exactly where the strict reading allows it, and then rightly; say whether."""
        try:
            allowed = strict.read(sent)
        except strict.Refused:
            allowed = None
        began = time.perf_counter()
        found = await self.ask(sent)
        assert time.perf_counter() - began < SECONDS
        assert (found is not None) == (allowed is not None), "answered" if found is not None else "refused"
        if found is not None and allowed is not None:
            assert_same(found, self.direct.run(*allowed))
        assert self.door.inference.in_flight == 0
        return found is not None


def read_answer(answer: Any) -> list[tuple[str, Tensor]]:
    """Return the outputs of a gRPC answer, raw or typed."""
    found = []
    for number, each in enumerate(answer.outputs):
        kind = DTYPE[each.datatype]
        if not answer.raw_output_contents:
            [(_, elements)] = each.contents.ListFields()
            value = np.array([e.decode() if isinstance(e, bytes) else e for e in elements], kind)
        else:
            part = answer.raw_output_contents[number]
            value = texts(part) if kind.kind == "O" else np.frombuffer(part, kind)
        found.append((each.name, value.reshape(list(each.shape))))
    return found


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Fail unless the outputs are the same, in the same order; JSON says null for NaN and for both infinities."""
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        if value.dtype.kind == "f":
            np.testing.assert_array_equal(_nan_for_all(found[name]), _nan_for_all(value))
        else:
            assert raw(found[name].astype(value.dtype)) == raw(value)


def _nan_for_all(value: Tensor) -> Tensor:
    return np.where(np.isfinite(value), value, np.nan)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    directory = tmp_path_factory.mktemp("mixed")
    door = RealDoor(directory)
    file = model.publish(directory / "models")
    await door.open()
    yield Doors(door, model.Directly(file))
    await door.close()


async def check_seed(doors: Doors, seed: int, protocol: str) -> bool:
    """Check the valid and the mutated request of *seed*; say whether the mutated one was answered."""
    case = cases.valid(seed, protocol)
    try:
        found = await doors.ask(case.sent)
        assert found is not None, "a valid request was refused"
        assert_same(found, doors.direct.run(case.feeds, case.wanted))
        mutant = cases.mutated(seed, protocol)
        return await doors.check(mutant)
    except AssertionError as exc:
        raise AssertionError(f"seed {seed} over {protocol}: {exc}") from exc


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_valid_request_equals_the_runtime_and_a_mutated_one_is_answered_only_where_it_is_allowed(
    doors: Doors, protocol: str
) -> None:
    answered = [await check_seed(doors, seed, protocol) for seed in range(FEW)]

    assert 0.02 < sum(answered) / FEW < 0.6, "the mutations say nothing: nearly all, or nearly none, are answered"


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_100_000_requests_of_a_new_seed(doors: Doors, capsys: pytest.CaptureFixture[str]) -> None:
    first = random.SystemRandom().randrange(2**32)
    for number in range(MANY // 2):
        await check_seed(doors, first + number, PROTOCOLS[number % 3])
        if number % 5_000 == 4_999:
            with capsys.disabled():
                print(f"\n{2 * (number + 1)} of {MANY} requests, seeds from {first}", end="", flush=True)
            await asyncio.sleep(0)
