"""A body with binary tensors is put together so that its tensors are read in place."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.limits import DEFAULT
from gateway.rest.form import JSON_BYTES, Form, form_of
from tests.rest.wire import packed, sent

VALUES = np.arange(600, dtype=np.float64).reshape(2, 300)
LIMIT = 1 << 20


def form_for(body: bytes, size: str) -> Form:
    headers = [(b"content-length", b"%d" % len(body)), (JSON_BYTES, size.encode())]
    return form_of(headers, dict(headers), LIMIT)


@pytest.mark.parametrize("pad", range(8))
@pytest.mark.parametrize("piece", [100_000, 1000, 7])
def test_a_tensor_behind_json_of_any_length_begins_where_it_is_read_in_place(pad: int, piece: int) -> None:
    body, [(_, size)] = packed({"inputs": [sent("x", VALUES)]}, pad=pad)
    form = form_for(body, size)

    for start in range(0, len(body), piece):
        form.take(body[start : start + piece])
    _, tail = form.open(DEFAULT)

    assert tail is not None
    found = np.frombuffer(tail.body, np.float64, VALUES.size, tail.take(VALUES.nbytes, "x"))
    assert found.flags.aligned
    assert np.shares_memory(found, np.frombuffer(tail.body, np.uint8))
    assert found.tolist() == VALUES.ravel().tolist()


def test_a_body_of_unknown_length_is_read_all_the_same() -> None:
    body, [(_, size)] = packed({"inputs": [sent("x", VALUES)]})
    headers = [(JSON_BYTES, size.encode())]
    form = form_of(headers, dict(headers), LIMIT)

    form.take(body[:50])
    form.take(body[50:])
    request, tail = form.open(DEFAULT)

    assert tail is not None
    assert ([each.name for each in request.inputs], tail.left) == (["x"], VALUES.nbytes)


def test_a_body_that_ends_early_has_only_what_came() -> None:
    body, [(_, size)] = packed({"inputs": [sent("x", VALUES)]})
    form = form_for(body, size)

    form.take(body[:-8])
    _, tail = form.open(DEFAULT)

    assert tail is not None
    assert tail.left == VALUES.nbytes - 8
