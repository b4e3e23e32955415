"""A gateway that serves from S3: what is pushed appears and answers, and S3 may go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("s3fs", reason="object stores need the `s3` extra")
pytest.importorskip("moto", reason="S3 is played by moto, of the `test` extra")

import fsspec
from moto.server import ThreadedMotoServer

from gateway.models.objects import ObjectStore
from gateway.models.shared import publish_shared
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, request, tagged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway


def test_a_version_that_is_pushed_appears_and_s3_may_go(
    begin: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    own = {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y", "DEFAULT_REGION": "us-east-1"}
    for name, value in {**own, "ENDPOINT_URL": f"http://{host}:{port}"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
    store = ObjectStore("s3://bucket/models")
    publish_shared(store, MODEL, {"model.onnx": tagged(1)})
    gateway = begin(workers=1, flags=("--models", "s3://bucket/models"))

    assert _answers(gateway, 1)
    publish_shared(store, MODEL, {"model.onnx": tagged(2)})
    eventually(lambda: _answers(gateway, 2), 20, "the second version answers")

    server.stop()
    eventually(lambda: "what was fetched serves on: s3://bucket/models" in gateway.stderr(), 20, "the reason is told")
    assert _answers(gateway, 1)
    assert _answers(gateway, 2)
    assert Path(gateway.state / "models").is_dir()


def _answers(gateway: Gateway, version: int) -> bool:
    return gateway.ask("POST", f"/v2/models/{MODEL}/versions/{version}/infer", request([1, 2])).status == 200
