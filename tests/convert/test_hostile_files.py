"""A file that runs code when it is read: refused unless trusted, and kept apart even then."""

from __future__ import annotations

import os
import pickle
import socket
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("skops", reason="conversions need the `convert` extra")
pytest.importorskip("pandas", reason="conversions need the `convert` extra")
pytest.importorskip("skl2onnx", reason="conversions need the `convert` extra")

import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer

from gateway.convert.conversion import Wish, convert
from gateway.convert.errors import CannotConvert, NotTrusted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)  # the converters take long to import on a busy machine


class Runs:
    """Pickled, this is an order to run Python."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, (self._code,)


@pytest.fixture
def wish(tmp_path: Path) -> Callable[..., Wish]:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,5\n", encoding="utf-8")

    def make(code: str, *, trusted: bool = True, seconds: int = 100) -> Wish:
        file = tmp_path / "model.pkl"
        file.write_bytes(pickle.dumps(Runs(code)))
        rows = tmp_path / "rows.csv"
        return Wish(file, "fraud", tmp_path / "models", sample=rows, trusted=trusted, seconds=seconds)

    return make


def refusal(wish: Wish) -> str:
    with pytest.raises(CannotConvert) as caught:
        convert(wish)
    assert not wish.models.exists()
    return str(caught.value)


def test_a_pickle_is_not_read_without_trust(wish: Callable[..., Wish], tmp_path: Path) -> None:
    said = refusal(wish(f"open({str(tmp_path / 'was here')!r}, 'w')", trusted=False))

    assert "--trust" in said
    assert not (tmp_path / "was here").exists()


def test_a_pickle_that_writes_a_file_does_not_get_to(wish: Callable[..., Wish], tmp_path: Path) -> None:
    said = refusal(wish(f"open({str(tmp_path / 'was here')!r}, 'w')"))

    assert "PermissionError" in said
    assert not (tmp_path / "was here").exists()


def test_a_pickle_that_ends_its_process_ends_nothing_else(wish: Callable[..., Wish]) -> None:
    assert "it is no estimator" in refusal(wish("import os; os._exit(0)"))


def test_a_pickle_that_never_ends_is_ended(wish: Callable[..., Wish]) -> None:
    assert "took longer than 4 s" in refusal(wish("while True: pass", seconds=4))


def test_a_pickle_reaches_no_process_and_no_port(wish: Callable[..., Wish]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = f"import os,socket\ntry:\n os.kill({os.getpid()}, 0)\n raise SystemError('it sees us')\n"
        code += "except OSError: pass\n"
        said = refusal(wish(f"{code}socket.create_connection(('127.0.0.1', {port}), 2)"))

    assert "it sees us" not in said
    assert "the file cannot be read" in said


def test_a_skops_file_is_read_without_trust_while_it_holds_nothing_unknown(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,5\n", encoding="utf-8")
    skops.io.dump(LinearRegression().fit([[1, 2], [3, 5]], [1, 2]), tmp_path / "good.skops")
    skops.io.dump(FunctionTransformer(os.system).fit([[1]]), tmp_path / "bad.skops")

    done = convert(Wish(tmp_path / "good.skops", "fraud", tmp_path / "models", sample=tmp_path / "rows.csv"))

    assert (done.version, done.failed) == (1, "")
    with pytest.raises((NotTrusted, CannotConvert), match="system"):
        convert(Wish(tmp_path / "bad.skops", "fraud", tmp_path / "models", sample=tmp_path / "rows.csv"))
