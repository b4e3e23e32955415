"""`gateway models push`, and what `gateway serve` says of an object store that it cannot read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.cli.main import main
from gateway.models.publishing import publish
from gateway.settings import Settings, store_url

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def models(tmp_path: Path) -> Path:
    publish(tmp_path, "fraud", {"model.onnx": b"graph", "metadata.yaml": b""})
    return tmp_path


def test_a_version_is_pushed_and_the_store_numbers_it(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fsspec = pytest.importorskip("fsspec", reason="object stores need the `s3` extra")
    words = ["models", "push", "fraud/1", f"memory://{models.name}", "--models", str(models)]

    assert (main(words), main(words)) == (0, 0)

    assert "fraud/1 is version 2 of fraud in memory://" in capsys.readouterr().out
    assert fsspec.filesystem("memory").exists(f"/{models.name}/fraud/2/manifest.json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fraud/1", "bucket/models"], "no address"),
        (["fraud", "s3://bucket/models"], "write NAME/VERSION"),
        (["fraud/2", "s3://bucket/models"], "no version fraud/2"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    models: Path, words: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "push", *words, "--models", str(models)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("written", "url"), [("s3://b/p", "s3://b/p"), ("models", ""), ("/a/b", ""), ("./s3", "")])
def test_an_address_survives_being_a_path(written: str, url: str) -> None:
    assert store_url(Path(written)) == url


def test_an_object_store_is_read_through_the_state_directory() -> None:
    one, other = (Settings(models=Path(url), state_dir=Path("/state")) for url in ("s3://a/p", "s3://b/p"))

    assert one.repository.parent == Path("/state/models")
    assert one.repository != other.repository
    assert Settings(models=Path("models")).repository == Path("models")


def test_a_store_without_its_library_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    assert main(["serve", "--models", "s3://bucket/models"]) == 2
    assert "pip install 'canary-gateway[s3]'" in capsys.readouterr().err
