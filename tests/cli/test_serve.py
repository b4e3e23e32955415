"""What ``serve`` makes of its settings before it starts anything."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import re
import time
from typing import TYPE_CHECKING

import pytest

from gateway.cli import BEGAN, serve
from gateway.cli.serve import banner, check, with_what_is_installed
from gateway.core.errors import InvalidSettings
from gateway.settings import Settings, is_chosen

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from pathlib import Path


def test_a_collector_that_nothing_here_speaks_to_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(InvalidSettings, match=r"--otlp-endpoint http://c:4318 .* pip install 'canary-gateway\[otel\]'"):
        check(Settings(models=tmp_path, otlp_endpoint="http://c:4318"))


@pytest.fixture
def _no_hpack(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "hpack" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)


@pytest.mark.usefixtures("_no_hpack")
def test_without_hpack_a_gateway_serves_without_grpc_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        settings = with_what_is_installed(Settings(), grpc_is_chosen=False)

    assert settings == Settings(grpc_port=0)
    assert "pip install 'canary-gateway[grpc]'" in caplog.text


@pytest.mark.usefixtures("_no_hpack")
def test_without_hpack_a_port_that_was_chosen_is_refused_with_what_to_install() -> None:
    with pytest.raises(InvalidSettings, match=r"--grpc-port 8081 .* pip install 'canary-gateway\[grpc\]'"):
        with_what_is_installed(Settings(), grpc_is_chosen=True)


@pytest.mark.usefixtures("_no_hpack")
def test_without_hpack_a_door_that_is_off_stays_off_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    assert with_what_is_installed(Settings(grpc_port=0), grpc_is_chosen=True) == Settings(grpc_port=0)
    assert caplog.text == ""


def test_with_hpack_the_settings_stay_as_they_are() -> None:
    assert with_what_is_installed(Settings(), grpc_is_chosen=False) == Settings()


@pytest.mark.parametrize(
    ("flags", "environ", "chosen"),
    [
        ({}, {}, False),
        ({"grpc_port": "0"}, {}, True),
        ({}, {"GATEWAY_GRPC_PORT": "1"}, True),
        ({"port": "1"}, {}, False),
    ],
)
def test_a_setting_is_chosen_by_its_flag_or_its_variable(
    flags: dict[str, str], environ: dict[str, str], chosen: bool
) -> None:
    assert is_chosen("grpc_port", flags, environ) is chosen


def test_a_file_of_webhooks_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.yaml"
    path.write_text("targets: [{name: ops, url: 'https://hooks.example.com', secret: {env: NOBODY_SET_THIS}}]")

    with pytest.raises(InvalidSettings, match=r"targets\[0\]\.secret: .*NOBODY_SET_THIS"):
        check(Settings(models=tmp_path, webhooks=path))


def test_a_proxy_is_not_believed_where_nothing_says_what_its_users_may(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef", encoding="ascii")
    (tmp_path / "short").write_text("0123", encoding="ascii")
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text("groups: [{group: a, role: viewer}]", encoding="utf-8")
    good = Settings(models=tmp_path, admin_proxy_secret_file=tmp_path / "secret", admin_token_file=tokens)

    check(good)
    with pytest.raises(InvalidSettings, match="needs --admin-token-file too"):
        check(dataclasses.replace(good, admin_token_file=None))
    with pytest.raises(InvalidSettings, match="16 characters"):
        check(dataclasses.replace(good, admin_proxy_secret_file=tmp_path / "short"))


def test_metrics_for_tokens_only_need_tokens(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.touch()

    check(Settings(models=tmp_path, metrics_auth=True, admin_token_file=tokens))
    with pytest.raises(InvalidSettings, match=r"--metrics-auth needs --admin-token-file too: .* give the file"):
        check(Settings(models=tmp_path, metrics_auth=True))


def test_a_key_without_its_certificate_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="--admin-tls-cert"):
        check(Settings(models=tmp_path, admin_tls_key=tmp_path / "key"))


def test_the_commands_of_the_banner_ask_the_way_the_ports_speak(tmp_path: Path) -> None:
    said = banner(Settings(models=tmp_path), "https://127.0.0.1:1", "http://127.0.0.1:2", 1.0)

    assert "curl -sk https://127.0.0.1:1/v2/models" in said
    assert "curl -s http://127.0.0.1:2/api/v1/models" in said


def test_a_start_is_counted_from_the_first_line_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Launched:
        def __init__(self, _settings: Settings, _store: object, on_ready: Callable[[str, str, float], None]) -> None:
            self.on_ready = on_ready

        def run(self) -> int:
            self.on_ready("http://127.0.0.1:8080", "http://127.0.0.1:9090", 1000.0)
            return 0

    monkeypatch.setattr("gateway.processes.launcher.Launcher", Launched)
    settings = Settings(models=tmp_path, state_dir=tmp_path, redis_url="redis://127.0.0.1:6379/0")
    before = time.monotonic() - BEGAN

    serve._launch(settings)

    told = re.match(r"gateway is ready after ([0-9.]+) s", capsys.readouterr().out)
    assert told is not None
    assert 1000.0 + before - 0.01 < float(told[1]) < 1000.01 + time.monotonic() - BEGAN
