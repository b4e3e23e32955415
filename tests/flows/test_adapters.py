"""Callers of an old interface on a route that a new version shares behind its adapter: they notice nothing."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tests.engine import interfaces
from tests.flows.gateway_process import eventually
from tests.flows.models import publish
from tests.rest import wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

AGE: Final = np.array([[33.3], [61]], np.float32)
X: Final = np.array([[0.1, 0.2, 0.3], [1e-6, 5, 700]], np.float32)
ASKED: Final = 12
"""Requests of each kind; that all of them meet the same version happens once in ten billion times."""


def test_old_callers_notice_nothing_of_a_new_version_behind_its_adapter(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    publish(models, 1, interfaces.old(), model="risk")
    for version in (2, 3):
        publish(models, version, interfaces.new(shuffled=True), model="risk")
    (models / "risk" / "2" / "metadata.yaml").write_text(interfaces.ADAPTER)
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "risk.yaml").write_text("model: risk\nsplit: {1: 100}\n")
    gateway = begin(models=models, routes=tmp_path / "routes", workers=1)

    eventually(lambda: ready(gateway) == {"1", "2", "3"}, 15, "each interface is known")

    refused = gateway.set_weights("risk", {"1": 50, "3": 50})
    shared = gateway.set_weights("risk", {"1": 50, "2": 50})
    pinned, own = (gateway.ask("GET", f"/v2/models/risk/versions/{version}").json() for version in (2, 3))
    eventually(lambda: plain(gateway)[0] == "2", 5, "the new version is asked")
    said = [(kind(gateway), kind.__name__) for kind in (plain, binary, v1) for _ in range(ASKED)]

    assert (refused.status, shared.status) == (422, 200), (refused.body, shared.body)
    assert b"needs an adapter" in refused.body
    assert [each["name"] for each in pinned["inputs"]] == ["x", "age"]
    assert [each["name"] for each in own["inputs"]] == ["features", "years"]
    for (_, answer), name in said:
        np.testing.assert_array_equal(answer, X + AGE, err_msg=name)
    assert {version for (version, _), _ in said} == {"1", "2"}


def ready(gateway: Gateway) -> set[str]:
    """Return the versions whose interface the control process knows; it hears of them after the callers do."""
    shown = gateway.ask_admin("GET", "/api/v1/models/risk/versions").json().get("versions", [])
    return {each["version"] for each in shown if each["workers"]["ready"]}


def plain(gateway: Gateway) -> tuple[str, Any]:
    """Ask in JSON; return the version that answered, and the answer."""
    inputs = [
        {"name": name, "datatype": "FP32", "shape": list(value.shape), "data": value.ravel().tolist()}
        for name, value in (("age", AGE), ("x", X))
    ]
    said = gateway.ask("POST", "/v2/models/risk/infer", {"inputs": inputs}).json()
    (output,) = said["outputs"]
    assert (output["name"], output["datatype"]) == ("score", "FP32")
    return said["model_version"], np.array(output["data"], np.float32).reshape(output["shape"])


def binary(gateway: Gateway) -> tuple[str, Any]:
    """Ask in the binary extension, both ways."""
    whole = {"inputs": [wire.sent("age", AGE), wire.sent("x", X)], "parameters": {"binary_data_output": True}}
    body, headers = wire.packed(whole)
    line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=15)
    line.request("POST", "/v2/models/risk/infer", body, dict(headers))
    answer = line.getresponse()
    size, content = int(answer.headers[wire.LENGTH]), answer.read()
    line.close()
    version: str = json.loads(content[:size])["model_version"]
    return version, np.frombuffer(content[size:], "<f4").reshape(X.shape)


def v1(gateway: Gateway) -> tuple[str, Any]:
    """Ask by rows in v1."""
    rows = [{"age": age, "x": x} for age, x in zip(AGE.tolist(), X.tolist(), strict=True)]
    said = gateway.ask("POST", "/v1/models/risk:predict", {"instances": rows})
    return said.headers["x-gateway-version"], np.array(said.json()["predictions"], np.float32)
