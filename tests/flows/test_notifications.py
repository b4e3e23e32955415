"""A decision that cannot be told, by a control process that is killed before it can: it arrives all the same."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from gateway.notifications.signing import signed
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

KEY = bytes(range(32))


class Receiver:
    """An HTTP server that takes every notification and checks its signature; it listens from ``open`` on."""

    def __init__(self) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port: int = sock.getsockname()[1]
        self.taken: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self._server: ThreadingHTTPServer | None = None

    def open(self) -> None:
        receiver = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                name, at = self.headers["webhook-id"], int(self.headers["webhook-timestamp"])
                assert self.headers["webhook-signature"] == signed(name, at, body, [KEY])["webhook-signature"]
                receiver.ids.append(name)
                receiver.taken.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Door)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def kinds(self) -> list[str]:
        return [each["type"] for each in self.taken]


def webhooks(directory: Path, port: int) -> Path:
    (directory / "key").write_text("whsec_" + base64.b64encode(KEY).decode())
    path = directory / "webhooks.yaml"
    path.write_text(f"targets: [{{name: ops, url: 'http://127.0.0.1:{port}/hook', secret: {{file: key}}}}]\n")
    return path


def outcomes(gateway: Gateway) -> dict[str, float]:
    found = metrics.scrape(gateway).get("gateway_notifications_total", {})
    return {dict(labels)["outcome"]: count for labels, count in found.items()}


def test_every_decision_arrives_signed_and_in_order_though_the_receiver_was_down_and_its_courier_killed(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    receiver = Receiver()
    gateway = begin(route='split: {"1": 100}', workers=1, flags=["--webhooks", str(webhooks(tmp_path, receiver.port))])
    rollouts = f"/api/v1/models/{MODEL}/rollouts"
    plan = {"candidate": "2", "steps": [{"weight": 5, "for": "60s"}]}

    for weight in (1, 2, 3):
        assert gateway.set_weights(MODEL, {"1": 100, "2": weight}).status == 200
    assert gateway.ask_admin("POST", rollouts, plan, if_match="*").status == 201
    eventually(lambda: outcomes(gateway).get("failed"), 10, "a delivery was tried in vain")
    killed = gateway.control_pid()
    assert gateway.ask_admin("POST", f"{rollouts}/current/abort", {"reason": "enough"}, if_match="*").status == 200
    os.kill(killed, signal.SIGKILL)
    receiver.open()
    try:
        eventually(lambda: "rollout.aborted" in receiver.kinds(), 30, "all have arrived")
    finally:
        receiver.close()

    told = [kind for kind in receiver.kinds() if kind != "rollout.advanced"]
    assert told == ["route.changed", "route.changed", "route.changed", "rollout.started", "rollout.aborted"]
    assert [each["data"]["weights"]["after"]["2"] for each in receiver.taken[:3]] == [1, 2, 3]
    assert [each["data"]["revision"] for each in receiver.taken] == sorted(
        each["data"]["revision"] for each in receiver.taken
    )
    assert "enough" in receiver.taken[-1]["data"]["reason"]
    assert len(set(receiver.ids)) == len(receiver.ids)
    assert base64.b64encode(KEY).decode() not in gateway.stderr()
