"""The Helm chart with TLS, a proxy and telemetry: what is mounted and asked follows from names of secrets."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.core.sampling import Sampling
from gateway.settings import from_environment
from tests.deploy.environment import needs_ops
from tests.deploy.test_chart import KUBERNETES, SECURED, environment, gateway_pod, judged, objects
from tests.processes.certificate_door import answering
from tests.processes.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_ops

TLS: Final[dict[str, Any]] = {"existingSecret": "cert"}
CASES: Final[dict[str, dict[str, Any]]] = {
    "plain": {"admin": {"existingSecret": "tokens"}, "serviceMonitor": {"enabled": True}},
    "certificate": {
        "tls": TLS,
        "admin": {"existingSecret": "tokens", "tls": TLS},
        "serviceMonitor": {"enabled": True},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "outer"}]},
    },
    "secured": SECURED,
    "proxy without tokens": {"admin": {"proxy": {"existingSecret": "proxy"}}},
    "authority without certificate": {"tls": {"clientCaSecret": "callers", "probeSecret": "probe"}},
    "authority without probe": {"tls": {**TLS, "clientCaSecret": "callers"}},
    "probe without authority": {"tls": {**TLS, "probeSecret": "probe"}},
    "admin authority without certificate": {"admin": {"tls": {"clientCaSecret": "people"}}},
    "monitor without certificate": {**SECURED, "serviceMonitor": {"enabled": True}},
    "metrics": {
        "admin": {"existingSecret": "tokens", "metricsAuth": True},
        "serviceMonitor": {"enabled": True, "token": {"existingSecret": "scrape"}},
    },
    "metrics without tokens": {"admin": {"metricsAuth": True}},
    "monitor without token": {
        "admin": {"existingSecret": "tokens", "metricsAuth": True},
        "serviceMonitor": {"enabled": True},
    },
    "files of no store": {"redis": {"tlsSecret": "ca"}},
    "no sample": {"gateway": {"accessLog": "often"}},
    "no share": {"gateway": {"traceSampling": "0.01"}},
    "no provider": {"gateway": {"providers": "gpu"}},
    "no address": {"gateway": {"publicUrl": "gateway.example.com"}},
    "no collector": {"gateway": {"otlpEndpoint": "collector:4318"}},
}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return judged(CASES, KUBERNETES[-1])


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("proxy without tokens", "needs admin.existingSecret"),
        ("authority without certificate", "tls.clientCaSecret needs tls.existingSecret"),
        ("authority without probe", "needs tls.probeSecret"),
        ("probe without authority", "needs tls.clientCaSecret"),
        ("admin authority without certificate", "needs admin.tls.existingSecret"),
        ("monitor without certificate", "serviceMonitor.tlsConfig"),
        ("metrics without tokens", "metricsAuth needs admin.existingSecret"),
        ("monitor without token", "serviceMonitor.token.existingSecret"),
        ("files of no store", "needs redis.existingSecret"),
        ("no sample", "accessLog"),
        ("no share", "traceSampling"),
        ("no provider", "providers"),
        ("no address", "publicUrl"),
        ("no collector", "otlpEndpoint"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(report: dict[str, Any], case: str, told: str) -> None:
    assert told in report["cases"][case]["error"]


def test_every_file_that_a_setting_names_lies_in_a_mounted_secret(report: dict[str, Any]) -> None:
    pod, given = gateway_pod(report, "secured"), environment(report, "secured")
    (container,) = pod["containers"]
    secrets = {each["name"]: each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    mounted = {
        each["mountPath"]: secrets[each["name"]] for each in container["volumeMounts"] if each["name"] in secrets
    }

    named = {name: text for name, text in given.items() if str(text).startswith("/etc/gateway/")}
    assert {name: mounted[text.rpartition("/")[0]] for name, text in named.items()} == {
        "GATEWAY_TLS_CERT": "cert",
        "GATEWAY_TLS_KEY": "cert",
        "GATEWAY_TLS_CLIENT_CA": "callers",
        "GATEWAY_ADMIN_TOKEN_FILE": "gateway-tokens",
        "GATEWAY_ADMIN_PROXY_SECRET_FILE": "gateway-proxy",
        "GATEWAY_ADMIN_TLS_CERT": "admin-cert",
        "GATEWAY_ADMIN_TLS_KEY": "admin-cert",
        "GATEWAY_ADMIN_TLS_CLIENT_CA": "people",
    }
    assert mounted["/etc/gateway/redis-tls"] == "redis-ca"
    assert {each["secret"]["defaultMode"] for each in pod["volumes"] if "secret" in each} == {0o440}


def test_what_is_told_of_requests_is_as_the_values_say(report: dict[str, Any]) -> None:
    given = {name: text for name, text in environment(report, "secured").items() if isinstance(text, str)}

    settings = from_environment({}, given)

    assert (settings.access_log, settings.trace_sampling) == (Sampling(0.01), 0.005)
    assert settings.otlp_endpoint == "http://collector:4318"
    assert settings.public_url == "https://gateway.example.com"
    assert settings.providers == ("cuda:1", "cpu")


def test_a_port_without_a_certificate_is_asked_in_plain_text(report: dict[str, Any]) -> None:
    (monitor,) = objects(report, "plain", "ServiceMonitor")

    assert {"scheme", "tlsConfig"}.isdisjoint(monitor["spec"]["endpoints"][0])
    assert protocols(report, "plain") == {"http": "http", "grpc": "kubernetes.io/h2c", "admin": "http"}
    assert {each["httpGet"].get("scheme") for each in probes(report, "plain").values()} == {None}
    assert "http://gw-gateway.ml:8080" in report["cases"]["plain"]["notes"]


def test_whoever_asks_a_port_with_a_certificate_is_told_so(report: dict[str, Any]) -> None:
    (monitor,) = objects(report, "certificate", "ServiceMonitor")
    (test,) = objects(report, "certificate", "Pod")
    notes = report["cases"]["certificate"]["notes"]

    assert monitor["spec"]["endpoints"][0]["scheme"] == "https"
    assert monitor["spec"]["endpoints"][0]["tlsConfig"] == {"serverName": "gw-gateway-admin.ml.svc"}
    assert protocols(report, "certificate") == dict.fromkeys(("http", "grpc", "admin"), "https")
    assert {each["httpGet"]["scheme"] for each in probes(report, "certificate").values()} == {"HTTPS"}
    assert "https://gw-gateway:8080/v2/health/ready" in test["spec"]["containers"][0]["command"]
    assert "https://gw-gateway.ml:8080" in notes
    assert "https://127.0.0.1:9090/" in notes
    assert "BackendTLSPolicy" in notes
    assert "kill -HUP" in notes


def test_prometheus_checks_what_the_values_say(report: dict[str, Any]) -> None:
    (monitor,) = objects(report, "secured", "ServiceMonitor")

    assert monitor["spec"]["endpoints"][0]["tlsConfig"] == {
        "ca": {"secret": {"name": "ca", "key": "ca.crt"}},
        "serverName": "gw-gateway-admin.ml.svc",
    }


def test_prometheus_shows_a_token_where_the_metrics_want_one(report: dict[str, Any]) -> None:
    (monitor,) = objects(report, "metrics", "ServiceMonitor")
    (open_monitor,) = objects(report, "plain", "ServiceMonitor")

    assert environment(report, "metrics")["GATEWAY_METRICS_AUTH"] == "true"
    assert monitor["spec"]["endpoints"][0]["authorization"] == {
        "type": "Bearer",
        "credentials": {"name": "scrape", "key": "token"},
    }
    assert "GATEWAY_METRICS_AUTH" not in environment(report, "plain")
    assert "authorization" not in open_monitor["spec"]["endpoints"][0]


def test_the_store_and_its_sentinels_can_be_reached(report: dict[str, Any]) -> None:
    (policy,) = objects(report, "secured", "NetworkPolicy")

    assert policy["spec"]["egress"][1]["ports"] == [{"port": 6379}, {"port": 26379}]


def test_where_callers_need_a_certificate_the_probes_show_one(report: dict[str, Any], tmp_path: Path) -> None:
    ours, foreign = Authority(tmp_path), Authority(tmp_path, "foreign")
    commands = [probe["exec"]["command"] for probe in probes(report, "secured").values()]
    right, wrong = ours.issue("probe"), foreign.issue("stranger")

    with answering(ours) as (port, asked):
        assert [ask(command, port, right) for command in commands] == [0, 0, 0]
        assert asked == ["/v2/health/live", "/v2/health/live", "/v2/health/ready"]
        assert ask(commands[0], port, wrong) != 0


def test_control_a_probe_fails_where_the_answer_is_not_good(report: dict[str, Any], tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    command = probes(report, "secured")["readiness"]["exec"]["command"]

    with answering(ours, status=503) as (port, asked):
        assert ask(command, port, ours.issue("probe")) != 0
        assert asked == ["/v2/health/ready"]


def probes(report: dict[str, Any], case: str) -> dict[str, Any]:
    (container,) = gateway_pod(report, case)["containers"]
    return {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}


def protocols(report: dict[str, Any], case: str) -> dict[str, str]:
    """Return what each port of the gateway's services is said to speak."""
    services = [each for each in objects(report, case, "Service") if not each["metadata"]["name"].endswith("redis")]
    return {port["name"]: port["appProtocol"] for each in services for port in each["spec"]["ports"]}


def ask(command: list[str], port: int, shown: tuple[Path, Path]) -> int:
    """Run a probe's command against *port* with the certificate and key *shown*; return its exit code."""
    python, *rest = command
    assert python == "python"
    named = [
        each.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        .replace("/etc/gateway/probe/tls.crt", str(shown[0]))
        .replace("/etc/gateway/probe/tls.key", str(shown[1]))
        for each in rest
    ]
    return subprocess.run([sys.executable, *named], check=False, capture_output=True, timeout=30).returncode
