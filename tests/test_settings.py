"""What an operator can choose: flags, variables, and what is said about a bad one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import InvalidSettings
from gateway.core.limits import Limits
from gateway.core.sampling import Sampling
from gateway.settings import Settings, cores, flag, from_environment, seconds, variable

GOOD: dict[str, tuple[str, Any]] = {
    "models": ("/srv/models", Path("/srv/models")),
    "routes": ("routes", Path("routes")),
    "redis_url": ("rediss://user:pw@redis:6380/1", "rediss://user:pw@redis:6380/1"),
    "state_dir": ("/var/lib/gateway", Path("/var/lib/gateway")),
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("0", 0),
    "grpc_port": ("0", 0),
    "admin_host": ("::1", "::1"),
    "admin_port": ("65535", 65535),
    "workers": ("7", 7),
    "admin_token_file": ("/run/tokens", Path("/run/tokens")),
    "admin_proxy_secret_file": ("/run/secret", Path("/run/secret")),
    "metrics_auth": ("on", True),
    "tls_cert": ("/run/tls.crt", Path("/run/tls.crt")),
    "tls_key": ("/run/tls.key", Path("/run/tls.key")),
    "tls_client_ca": ("/run/ca.crt", Path("/run/ca.crt")),
    "admin_tls_cert": ("/run/admin.crt", Path("/run/admin.crt")),
    "admin_tls_key": ("/run/admin.key", Path("/run/admin.key")),
    "admin_tls_client_ca": ("/run/ca.crt", Path("/run/ca.crt")),
    "redis_server": ("/usr/bin/valkey-server", Path("/usr/bin/valkey-server")),
    "drain_delay": ("500ms", 0.5),
    "load": ("routed", "routed"),
    "providers": ("cuda:1,cpu", ("cuda:1", "cpu")),
    "model_memory": ("8g", 8 << 30),
    "model_idle": ("1h", 3600.0),
    "worker_memory": ("2g", 2 << 30),
    "repository_control": ("true", True),
    "request_timeout": ("2m", 120.0),
    "max_body": ("512k", 512 << 10),
    "max_queue": ("1", 1),
    "feedback_ttl": ("7d", 604_800.0),
    "prometheus_url": ("https://ann:pw@prometheus:9090/prom", "https://ann:pw@prometheus:9090/prom"),
    "limits": (
        "head=2s,json-depth=9,url-bytes=1k,held-bytes=1g",
        Limits(head_seconds=2.0, json_depth=9, url_bytes=1024, held_bytes=1 << 30),
    ),
    "webhooks": ("/etc/gateway/webhooks.yaml", Path("/etc/gateway/webhooks.yaml")),
    "public_url": ("https://gateway.example.com/admin", "https://gateway.example.com/admin"),
    "trusted_keys": ("/etc/gateway/release.pub", Path("/etc/gateway/release.pub")),
    "access_log": ("100/s", Sampling(1.0, 100.0)),
    "otlp_endpoint": ("http://collector:4318/", "http://collector:4318"),
    "trace_sampling": ("12.5%", 0.125),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
}

BAD: dict[str, list[str]] = {
    "models": [""],
    "routes": [""],
    "redis_url": ["http://redis", "redis:6379", "localhost"],
    "state_dir": [""],
    "host": [""],
    "port": ["", "-1", "65536", "http", "80.0", "8_0", " 80", "٨٠"],
    "grpc_port": ["70000"],
    "admin_host": [""],
    "admin_port": ["x"],
    "workers": ["0", "257", "two", "1e1"],
    "admin_token_file": [],
    "admin_proxy_secret_file": [],
    "metrics_auth": ["", "viewer", "2"],
    "tls_cert": [],
    "tls_key": [],
    "tls_client_ca": [],
    "admin_tls_cert": [],
    "admin_tls_key": [],
    "admin_tls_client_ca": [],
    "redis_server": [],
    "drain_delay": ["", "-1s", "5 s", "1w", "s", "1e3s", "inf"],
    "load": ["", "ALL", "some"],
    "providers": ["", "gpu", "cpu,cpu", "cuda;cpu"],
    "model_memory": ["", "0", "all", "-1g"],
    "model_idle": ["", "never", "-1s"],
    "worker_memory": ["", "auto", "-1", "much"],
    "repository_control": ["", "maybe", "2"],
    "request_timeout": ["soon", "-5s"],
    "max_body": ["", "0", "0m", "-1", "1.5m", "64x"],
    "max_queue": ["0", "1000001", "many"],
    "feedback_ttl": ["", "-1s", "soon"],
    "prometheus_url": [
        "prometheus:9090",
        "ftp://x",
        "http://",
        "http://x:y",
        "http://x/?q=1",
        "http://x y",
        "http://ä",
    ],
    "limits": [
        "head",
        "head=",
        "head=0",
        "head=1s,head=2s",
        "connections=0",
        "tail=1s",
        "head=1s,",
        "json_depth=5",
        "held-bytes=0",
        "caller-in-flight=-1",
        "caller-rate=0.5",
        "caller-header=x-user,caller-proxies=10.0.0.1/8",
        "caller-header=x-user",
        "caller-proxies=10.0.0.0/8",
        "caller-header=x user,caller-proxies=::1",
        "caller-proxies=proxy,caller-header=a",
    ],
    "webhooks": [],
    "public_url": ["gateway.example.com", "ftp://x", "https://", "https://x/?q=1", "https://x|y", "https://x y"],
    "trusted_keys": [],
    "access_log": ["", "on", "1", "101%", "0/s", "1/m"],
    "otlp_endpoint": ["collector:4318", "grpc://x", "http://", "http://x/?q=1"],
    "trace_sampling": ["", "0.01", "101%", "-1%", "100/s"],
    "log_level": ["trace", "INFO"],
    "log_format": ["text"],
}
"""Without a list of values: any text but the empty one, which means none, is a file's name."""

FIELDS = [each.name for each in dataclasses.fields(Settings)]


def test_every_setting_is_tried_here() -> None:
    assert list(GOOD) == FIELDS
    assert list(BAD) == FIELDS


def test_a_proxys_header_and_who_is_believed_in_it_come_together() -> None:
    text = "caller-in-flight=8,caller-rate=100,caller-header=X-Forwarded-For,caller-proxies=10.0.0.0/8+fd00::/8"

    limits = from_environment({"limits": text}, {}).limits

    assert (limits.caller_in_flight, limits.caller_rate, limits.caller_header) == (8, 100, "x-forwarded-for")
    assert [str(each) for each in limits.caller_proxies] == ["10.0.0.0/8", "fd00::/8"]
    with pytest.raises(InvalidSettings, match="caller-header and caller-proxies together"):
        from_environment({"limits": "caller-header=x-user"}, {})


def test_there_are_few_settings() -> None:
    # Most operators touch a handful. Whoever adds one asks first whether a plan, a route or the metadata is its place.
    assert len(FIELDS) <= 41


@pytest.mark.parametrize("name", ["redis_url", "prometheus_url"])
def test_an_address_that_is_mistyped_is_told_without_its_password(name: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        from_environment({name: "htp://ann:hunt@er2@host:1"}, {})

    assert "htp://…@host:1" in str(caught.value)
    assert "er2" not in str(caught.value)


def test_every_setting_says_what_it_is_for() -> None:
    assert all(len(each.metadata["help"]) > 10 for each in dataclasses.fields(Settings))


@pytest.mark.parametrize(("name", "text", "value"), [(name, *case) for name, case in GOOD.items()])
def test_a_setting_comes_from_its_flag_or_its_variable(name: str, text: str, value: Any) -> None:
    by_flag = from_environment({name: text}, {})
    by_variable = from_environment({}, {variable(name): text})

    assert getattr(by_flag, name) == getattr(by_variable, name) == value
    assert by_flag == dataclasses.replace(Settings(), **{name: value})


@pytest.mark.parametrize(("name", "text", "value"), [(name, *case) for name, case in GOOD.items()])
def test_a_flag_beats_its_variable_even_where_that_one_is_bad(name: str, text: str, value: Any) -> None:
    worse = next(iter(BAD[name]), "other")

    found = from_environment({name: text}, {variable(name): worse})

    assert getattr(found, name) == value


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_bad_value_names_its_flag_or_variable_and_what_it_was(name: str, text: str) -> None:
    with pytest.raises(InvalidSettings) as by_flag:
        from_environment({name: text}, {})
    with pytest.raises(InvalidSettings) as by_variable:
        from_environment({}, {variable(name): text})

    assert str(by_flag.value).startswith(f"{flag(name)} must ")
    assert str(by_variable.value).startswith(f"{variable(name)} must ")
    assert all(repr(text) in str(error.value) for error in (by_flag, by_variable))


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [("GATEWAY_PROT", "GATEWAY_PORT"), ("GATEWAY_WORKER", "GATEWAY_WORKERS"), ("GATEWAY_REDIS", "GATEWAY_REDIS_URL")],
)
def test_an_unknown_variable_is_refused_with_the_nearest_one(unknown: str, meant: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        from_environment({}, {unknown: "1"})

    assert unknown in str(caught.value)
    assert f"did you mean {meant}?" in str(caught.value)


def test_an_unknown_variable_that_is_like_none_points_to_the_help() -> None:
    with pytest.raises(InvalidSettings, match="gateway serve --help"):
        from_environment({}, {"GATEWAY_QQQQQQQQ": "1"})


def test_variables_of_others_and_those_of_the_other_commands_are_none_of_ours() -> None:
    environ = {"PATH": "/bin", "gateway_port": "1", "GATEWAYPORT": "1", "GATEWAY_URL": "x", "GATEWAY_TOKEN": "y"}

    assert from_environment({}, environ) == Settings()


def test_without_an_environment_that_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_PORT", "1234")

    assert from_environment({}).port == 1234


def test_the_defaults_are_what_is_written_of_them() -> None:
    assert Settings() == Settings(
        models=Path("models"),
        routes=Path("routing_configs"),
        redis_url="",
        state_dir=Path(".gateway"),
        host="127.0.0.1",
        port=8080,
        grpc_port=8081,
        admin_host="127.0.0.1",
        admin_port=9090,
        workers=cores(),
        drain_delay=5.0,
        load="all",
        model_memory=0,
        model_idle=0.0,
        worker_memory=0,
        providers=("cpu",),
        repository_control=False,
        request_timeout=30.0,
        max_body=64 << 20,
        max_queue=1024,
    )


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]  # that is what is tested


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0.0), ("5", 5.0), ("1.5s", 1.5), ("250ms", 0.25), ("2m", 120.0), ("1h", 3600.0), ("7d", 604_800.0)],
)
def test_durations_are_read_in_five_units(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("64m", 64 << 20), ("64MB", 64 << 20), ("64MiB", 64 << 20), ("1g", 1 << 30)]
)
def test_sizes_are_read_in_the_units_that_people_write(text: str, value: int) -> None:
    assert from_environment({"max_body": text}, {}).max_body == value


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_a_switch_is_turned_on_by_the_usual_words(text: str) -> None:
    assert from_environment({"repository_control": text}, {}).repository_control


def test_the_log_is_for_people_only_where_one_looks_or_it_is_asked_for() -> None:
    assert Settings(log_format="human").log_human()
    assert not Settings(log_format="json").log_human()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu.max": "nonsense\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
    ids=str,
)
def test_a_container_has_the_processors_of_its_quota(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert cores(tmp_path) == expected
