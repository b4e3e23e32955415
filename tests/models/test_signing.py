"""Digests and signatures of versions: every byte that decides an answer is covered, and only trusted keys count."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.cli.main import main
from gateway.core.errors import InvalidModel, InvalidSettings
from gateway.engine.onnx import OnnxEngine
from gateway.models.digests import digests_of, parse_digests
from gateway.models.loader import Loader, Prepared
from gateway.models.publishing import publish
from gateway.models.repository import Repository
from gateway.models.signing import read_trusted
from tests.engine import graphs
from tests.models.keys import make_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.models.signing import Trusted

GOLDEN = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]}],
}
FILES = ("model.onnx", "metadata.yaml", "golden.jsonl", "digests.txt")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A version with all its files, unsigned."""
    files = {
        "model.onnx": graphs.identity(),
        "metadata.yaml": b"creator: ann\n",
        "golden.jsonl": json.dumps(GOLDEN).encode() + b"\n",
    }
    return tmp_path / "models" / "fraud" / str(publish(tmp_path / "models", "fraud", files))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "release")


@pytest.fixture
def sign(place: Path) -> Callable[..., int]:
    """Run the command on the version."""

    def run(*flags: str) -> int:
        return main(["versions", "sign", "fraud", "1", "--models", str(place.parents[1]), *flags])

    return run


def load(place: Path, trusted: Trusted | None = None) -> Prepared | InvalidModel:
    files = Repository(place.parents[1]).scan().versions[place.parent.name][int(place.name)]
    loaded = Loader(OnnxEngine(), place.parents[2] / "blobs", trusted=trusted).load(files)
    assert isinstance(loaded, Prepared | InvalidModel)
    return loaded


def believed(key: Path) -> Trusted:
    return read_trusted(key.with_name(f"{key.name}.pub"))


def test_a_version_that_a_trusted_key_signed_is_served(place: Path, key: Path, sign: Callable[..., int]) -> None:
    assert sign("--key", str(key)) == 0

    assert isinstance(load(place, believed(key)), Prepared)


def test_openssh_itself_makes_the_keys(place: Path, tmp_path: Path, sign: Callable[..., int]) -> None:
    if (program := shutil.which("ssh-keygen")) is None:
        pytest.skip("ssh-keygen is not installed")
    made = tmp_path / "made"
    subprocess.run([program, "-q", "-t", "ed25519", "-N", "", "-C", "ann", "-f", made], check=True)
    listed = subprocess.run([program, "-l", "-f", f"{made}.pub"], check=True, capture_output=True, text=True).stdout

    assert sign("--key", str(made)) == 0

    assert isinstance(load(place, believed(made)), Prepared)
    assert [*believed(made)] == [listed.split()[1]]
    assert [each.name for each in believed(made).values()] == ["ann"]


def test_without_a_signature_a_version_is_refused_where_keys_are_trusted(
    place: Path, key: Path, sign: Callable[..., int]
) -> None:
    bare = load(place, believed(key))
    sign()
    unsigned = load(place, believed(key))

    for refused in (bare, unsigned):
        assert isinstance(refused, InvalidModel)
        assert refused.code == "unsigned"
        assert "gateway versions sign" in refused.reason


def test_a_key_that_is_not_trusted_does_not_count_and_is_named_by_its_fingerprint(
    place: Path, key: Path, tmp_path: Path, sign: Callable[..., int]
) -> None:
    other = make_key(tmp_path / "other")
    sign("--key", str(other))

    refused = load(place, believed(key))

    assert isinstance(refused, InvalidModel)
    assert refused.code == "unsigned"
    assert next(iter(believed(other))) in refused.reason


def test_several_keys_sign_the_same_files_and_one_that_is_trusted_is_enough(
    place: Path, key: Path, tmp_path: Path, sign: Callable[..., int]
) -> None:
    other = make_key(tmp_path / "other")
    for each in (key, other, key):
        sign("--key", str(each))

    assert len(parse_digests((place / "digests.txt").read_bytes()).signatures) == 2
    assert isinstance(load(place, believed(other)), Prepared)
    assert isinstance(load(place, believed(key)), Prepared)


@pytest.mark.parametrize("file", FILES)
def test_a_byte_that_is_changed_anywhere_is_found(place: Path, key: Path, file: str, sign: Callable[..., int]) -> None:
    sign("--key", str(key))
    path, trusted = place / file, believed(key)
    content = path.read_bytes()
    for at in {*range(0, len(content), max(1, len(content) // 25)), len(content) - 1}:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])

        refused = load(place, trusted)

        assert isinstance(refused, InvalidModel), f"byte {at} of {file}"
        assert refused.code in {"digest", "unsigned"}, refused.reason
    path.write_bytes(content)
    assert isinstance(load(place, trusted), Prepared)


@pytest.mark.parametrize("file", ["metadata.yaml", "golden.jsonl"])
def test_a_file_that_is_taken_away_or_added_is_found(place: Path, file: str, sign: Callable[..., int]) -> None:
    content = (place / file).read_bytes()
    sign()
    (place / file).unlink()
    taken = load(place)
    sign()
    without = load(place)
    (place / file).write_bytes(content)
    added = load(place)

    assert isinstance(without, Prepared)
    assert [isinstance(each, InvalidModel) and each.code for each in (taken, added)] == ["digest", "digest"]


def test_a_signature_is_of_one_version_and_counts_for_no_other(
    place: Path, key: Path, sign: Callable[..., int]
) -> None:
    sign("--key", str(key))
    for other in (place.with_name("2"), place.parents[1] / "spam" / "1"):
        shutil.copytree(place, other)

        refused = load(other, believed(key))

        assert isinstance(refused, InvalidModel)
        assert refused.code == "digest"
        assert "version 1 of fraud" in refused.reason


def test_digests_hold_without_any_key(place: Path, sign: Callable[..., int]) -> None:
    sign()
    assert isinstance(load(place), Prepared)

    (place / "metadata.yaml").write_text("creator: eve\n")

    refused = load(place)
    assert isinstance(refused, InvalidModel)
    assert refused.code == "digest"


def test_what_is_said_of_a_version_later_undoes_no_signature(place: Path, key: Path, sign: Callable[..., int]) -> None:
    sign("--key", str(key))

    main(["versions", "tag", "fraud", "1", "stage=live", "--models", str(place.parents[1])])

    assert isinstance(load(place, believed(key)), Prepared)


def test_signing_again_after_a_change_drops_the_signatures_over_the_other_files(
    place: Path, key: Path, tmp_path: Path, sign: Callable[..., int]
) -> None:
    sign("--key", str(key))
    (place / "metadata.yaml").write_text("creator: bob\n")
    other = make_key(tmp_path / "other")

    sign("--key", str(other))

    assert [each.key for each in digests_of(place, "fraud", 1).signatures] == [*believed(other)]
    assert isinstance(load(place, believed(key)), InvalidModel)


def test_a_signature_that_comes_later_is_seen_by_the_scan(place: Path, key: Path, sign: Callable[..., int]) -> None:
    repository = Repository(place.parents[1])
    before = repository.scan().versions["fraud"][1].stamp

    sign("--key", str(key))

    assert repository.scan().versions["fraud"][1].stamp != before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"canary-gateway digests 2\n",
        b"canary-gateway digests 1\nmodel fraud\nversion 1\n",
        b"canary-gateway digests 1\nmodel fraud\nversion 1\nsha256 " + b"A" * 64 + b" model.onnx\n",
        b"canary-gateway digests 1\nmodel fraud\nversion 1\nsha256 " + b"a" * 64 + b" other.onnx\n",
        b"canary-gateway digests 1\nmodel fraud\nversion 1\n" + (b"sha256 " + b"a" * 64 + b" model.onnx\n") * 2,
        b"canary-gateway digests 1\nmodel fraud\nversion 1\nsha256 " + b"a" * 64 + b" model.onnx\n\xff",
    ],
)
def test_digests_read_in_one_way_only(content: bytes) -> None:
    with pytest.raises(InvalidModel) as caught:
        parse_digests(content)

    assert caught.value.code == "digest"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no key"),
        (b"# nothing\n", "holds no key"),
        (b"ssh-rsa AAAA ann\n", "line 1 is no public key"),
        (b"ssh-ed25519 AAAA ann\n", "line 1 is no public key"),
        (b"ssh-ed25519 %% ann\n", "line 1 is no public key"),
        (b"\xff\xfe", "no text"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_says_why_and_shows_nothing(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)

    with pytest.raises(InvalidSettings, match=said):
        read_trusted(path)


def test_no_file_of_keys_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="No such file"):
        read_trusted(tmp_path / "none")


@pytest.mark.parametrize("content", [b"no key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n", None])
def test_a_key_that_cannot_be_used_is_told_and_nothing_of_it_is_shown(
    place: Path, tmp_path: Path, content: bytes | None, sign: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    assert sign("--key", str(path)) == 2

    said = capsys.readouterr().err
    assert "ssh-keygen" in said
    assert "c2VjcmV0" not in said
    assert not (place / "digests.txt").exists()


def test_signing_prints_fingerprints_and_no_key(
    place: Path, key: Path, sign: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    sign("--key", str(key), "--json")

    printed = capsys.readouterr().out
    public = key.with_name("release.pub").read_text().split()[1]
    secrets = [line for line in key.read_text().splitlines() if not line.startswith("-")]
    assert json.loads(printed)["signed_by"] == [*believed(key)]
    assert set(json.loads(printed)["files"]) == {"model.onnx", "metadata.yaml", "golden.jsonl"}
    for text in (public, *secrets):
        assert text not in printed
        assert text not in (place / "digests.txt").read_text()


@pytest.mark.parametrize(("words", "code"), [(["fraud", "x"], 2), (["fraud", "7"], 2), (["stats", "1"], 2)])
def test_wrong_usage_is_exit_code_2(place: Path, words: list[str], code: int) -> None:
    assert main(["versions", "sign", *words, "--models", str(place.parents[1])]) == code


def test_a_link_is_not_signed(place: Path, sign: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    (place / "metadata.yaml").unlink()
    (place / "metadata.yaml").symlink_to("/etc/hostname")

    assert sign() == 1

    assert "symbolic link" in capsys.readouterr().err


def test_without_the_library_it_says_what_to_install(
    key: Path, sign: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert sign("--key", str(key)) != 0

    assert "canary-gateway[signing]" in capsys.readouterr().err


def test_the_library_is_not_imported_before_it_is_used() -> None:
    code = "import sys, gateway.models.loader; sys.exit('cryptography' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
