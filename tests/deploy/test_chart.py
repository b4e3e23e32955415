"""The Helm chart, judged by Helm's own library and Kubernetes' schemas: default, minimal and with everything on."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from gateway import __version__
from gateway.settings import Settings, from_environment, seconds, variable
from tests.deploy import prometheus_operator
from tests.deploy.environment import BIN, ROOT, needs_ops

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_ops

CHART: Final = ROOT / "helm" / "gateway"
KUBERNETES: Final = ("1.27", "1.37")
"""The oldest release that Chart.yaml allows, and the newest whose schemas there are."""

SECURED: Final[dict[str, Any]] = {
    "gateway": {
        "accessLog": "1%",
        "otlpEndpoint": "http://collector:4318",
        "traceSampling": "0.5%",
        "publicUrl": "https://gateway.example.com",
        "providers": "cuda:1,cpu",
    },
    "redis": {"existingSecret": "redis", "tlsSecret": "redis-ca"},
    "admin": {
        "existingSecret": "gateway-tokens",
        "proxy": {"existingSecret": "gateway-proxy"},
        "tls": {"existingSecret": "admin-cert", "clientCaSecret": "people"},
    },
    "tls": {"existingSecret": "cert", "clientCaSecret": "callers", "probeSecret": "probe"},
    "networkPolicy": {"enabled": True, "sentinelPort": 26379},
    "serviceMonitor": {"enabled": True, "tlsConfig": {"ca": {"secret": {"name": "ca", "key": "ca.crt"}}}},
}
"""TLS on every port, certificates wanted on both, and what is told to whom; test_secured_chart looks closer."""
TOKENS: Final[dict[str, Any]] = {"existingSecret": "gateway-tokens"}
EVERYTHING: Final[dict[str, Any]] = {
    "image": {"pullSecrets": [{"name": "pull"}], "tag": "9"},
    "gateway": {"limits": "head=5s", "modelMemory": "600m", "modelIdle": "2h", "extraEnv": {"GATEWAY_MAX_QUEUE": "64"}},
    "models": {
        "source": "initContainer",
        "initContainer": {"image": "fetch:1", "command": ["fetch"], "args": ["/models"], "envFromSecret": "bucket"},
    },
    "routes": {"fraud.yaml": {"model": "fraud", "split": {"1": 100}}},
    "admin": {**TOKENS, "metricsAuth": True},
    "service": {"type": "LoadBalancer", "annotations": {"example.com/internal": "yes"}},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "outer"}], "hostnames": ["models.example.com"]},
    "serviceAccount": {"annotations": {"example.com/role": "reader"}},
    "autoscaling": {"enabled": True, "inFlight": 32},
    "networkPolicy": {
        "enabled": True,
        "inferenceFrom": [{"namespaceSelector": {}}],
        "adminFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
        "egress": [{"ports": [{"port": 443}], "to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
    },
    "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "token": {"existingSecret": "scrape", "secretKey": "viewer"},
    },
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True},
    "podAnnotations": {"a/b": "c"},
    "podLabels": {"team": "ml"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "ml", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "serving",
}
CASES: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "minimal": {
        "replicas": 1,
        "redis": {"bundled": {"enabled": False}},
        "gateway": {"grpc": False},
        "serviceAccount": {"create": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpread": False,
    },
    "everything": EVERYTHING,
    "external": {
        "redis": {"existingSecret": "redis"},
        "models": {"source": "volume", "volume": {"claimName": "models", "subPath": "live"}},
        "networkPolicy": {"enabled": True, "redisTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    },
    "secured": SECURED,
    "no store": {"redis": {"bundled": {"enabled": False}}},
    "no tokens": {"serviceMonitor": {"enabled": True}},
    "no claim": {"models": {"source": "volume"}},
    "no fetcher": {"models": {"source": "initContainer"}},
    "no parent": {"httpRoute": {"enabled": True}},
    "misspelt": {"replica": 3},
    "wrong type": {"replicas": "two"},
    "unknown source": {"models": {"source": "cloud"}},
    "no size": {"gateway": {"modelMemory": "much"}},
    "no duration": {"gateway": {"modelIdle": "soon"}},
    "no interval": {"serviceMonitor": {"interval": "15"}},
    "foreign variable": {"gateway": {"extraEnv": {"PATH": "/"}}},
}
SOUND: Final = ("default", "minimal", "everything", "external", "secured")


def judged(cases: dict[str, dict[str, Any]], kubernetes: str, chart: Path = CHART) -> dict[str, Any]:
    """Return what Helm and the schemas of a release of Kubernetes say of *cases*."""
    done = subprocess.run(
        [BIN / "python", ROOT / "tests" / "deploy" / "judge.py", chart, kubernetes],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return judged(CASES, KUBERNETES[-1])


def objects(report: dict[str, Any], case: str, kind: str) -> list[dict[str, Any]]:
    return [each for each in report["cases"][case]["objects"] if each["kind"] == kind]


def gateway_pod(report: dict[str, Any], case: str) -> dict[str, Any]:
    (deployment,) = objects(report, case, "Deployment")
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def environment(report: dict[str, Any], case: str) -> dict[str, Any]:
    (container,) = gateway_pod(report, case)["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def pods(report: dict[str, Any], case: str) -> list[dict[str, Any]]:
    """Return every pod that a case would run."""
    workloads = [*objects(report, case, "Deployment"), *objects(report, case, "StatefulSet")]
    return [each["spec"]["template"]["spec"] for each in workloads] + [
        each["spec"] for each in objects(report, case, "Pod")
    ]


def test_helm_finds_nothing_to_say(report: dict[str, Any]) -> None:
    assert report["lint"] == []


@pytest.mark.parametrize("case", SOUND)
def test_kubernetes_would_take_every_object(report: dict[str, Any], case: str) -> None:
    assert report["cases"][case]["objects"]
    assert report["cases"][case]["problems"] == []


def test_the_oldest_kubernetes_that_the_chart_allows_would_too() -> None:
    cases = judged({case: CASES[case] for case in SOUND}, KUBERNETES[0])["cases"]

    assert [found["problems"] for found in cases.values()] == [[]] * len(SOUND)


def test_control_a_misspelt_field_is_found(tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / "gateway")
    deployment = chart / "templates" / "deployment.yaml"
    deployment.write_text(deployment.read_text().replace("containerPort: 8080", "containerPrt: 8080"))

    (found,) = judged({"default": {}}, KUBERNETES[-1], chart)["cases"].values()

    assert any("containerPrt" in problem for problem in found["problems"])


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("no store", "redis.existingSecret"),
        ("no tokens", "admin.existingSecret"),
        ("no claim", "claimName"),
        ("no fetcher", "initContainer.image"),
        ("no parent", "parentRefs"),
        ("misspelt", "replica"),
        ("wrong type", "replicas"),
        ("unknown source", "source"),
        ("no size", "modelMemory"),
        ("no duration", "modelIdle"),
        ("no interval", "interval"),
        ("foreign variable", "PATH"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(report: dict[str, Any], case: str, told: str) -> None:
    assert told in report["cases"][case]["error"]


@pytest.mark.parametrize("case", SOUND)
def test_every_pod_is_what_the_restricted_profile_asks_for(report: dict[str, Any], case: str) -> None:
    for pod in pods(report, case):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod.get("initContainers", []) + pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()
            assert ":" in container["image"]
            assert not container["image"].endswith(":latest")


@pytest.mark.parametrize("case", SOUND)
def test_every_setting_is_one_that_the_gateway_knows(report: dict[str, Any], case: str) -> None:
    known = {variable(each.name) for each in dataclasses.fields(Settings)}

    assert {name for name in environment(report, case) if name.startswith("GATEWAY_")} <= known


@pytest.mark.parametrize("case", SOUND)
def test_the_settings_can_be_read(report: dict[str, Any], case: str) -> None:
    given = {name: text for name, text in environment(report, case).items() if isinstance(text, str)}

    settings = from_environment({}, given)

    assert (settings.port, settings.admin_port, str(settings.state_dir)) == (8080, 9090, "/var/lib/gateway")
    assert settings.grpc_port == (0 if case == "minimal" else 8081)


@pytest.mark.parametrize(("case", "memory_bytes", "idle_seconds"), [("default", 0, 0), ("everything", 600 << 20, 7200)])
def test_the_memory_of_versions_is_bounded_as_the_values_say(
    report: dict[str, Any], case: str, memory_bytes: int, idle_seconds: float
) -> None:
    given = {name: text for name, text in environment(report, case).items() if isinstance(text, str)}

    settings = from_environment({}, given)

    assert (settings.model_memory, settings.model_idle) == (memory_bytes, idle_seconds)


@pytest.mark.parametrize("case", SOUND)
def test_a_pod_has_the_time_to_drain(report: dict[str, Any], case: str) -> None:
    pod, given = gateway_pod(report, case), environment(report, case)
    (container,) = pod["containers"]
    sleep, before = container["lifecycle"]["preStop"]["exec"]["command"]

    assert sleep == "sleep"
    longest = int(before) + seconds(given["GATEWAY_DRAIN_DELAY"]) + seconds(given["GATEWAY_REQUEST_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] > longest


@pytest.mark.parametrize("case", [case for case in SOUND if case != "secured"])
def test_the_probes_ask_what_they_are_for(report: dict[str, Any], case: str) -> None:
    (container,) = gateway_pod(report, case)["containers"]

    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {
        "startup": "/v2/health/live",
        "liveness": "/v2/health/live",
        "readiness": "/v2/health/ready",
    }


@pytest.mark.parametrize("case", SOUND)
def test_selectors_find_the_pods_of_their_own_workload_and_no_others(report: dict[str, Any], case: str) -> None:
    workloads = [*objects(report, case, "Deployment"), *objects(report, case, "StatefulSet")]
    labels = {each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in workloads}

    def chosen(selector: dict[str, str]) -> list[str]:
        return [name for name, held in labels.items() if selector.items() <= held.items()]

    for each in workloads:
        assert chosen(each["spec"]["selector"]["matchLabels"]) == [each["metadata"]["name"]]
    for service in objects(report, case, "Service"):
        wanted = "gw-gateway-redis" if service["metadata"]["name"].endswith("redis") else "gw-gateway"
        assert chosen(service["spec"]["selector"]) == [wanted]
    for budget in objects(report, case, "PodDisruptionBudget"):
        assert chosen(budget["spec"]["selector"]["matchLabels"]) == ["gw-gateway"]


def test_the_admin_port_is_the_pods_own_without_tokens_and_behind_them_otherwise(report: dict[str, Any]) -> None:
    def names(case: str) -> set[str]:
        return {each["metadata"]["name"] for each in objects(report, case, "Service")}

    assert "GATEWAY_ADMIN_HOST" not in environment(report, "default")
    assert "gw-gateway-admin" not in names("default")
    assert environment(report, "everything")["GATEWAY_ADMIN_TOKEN_FILE"] == "/etc/gateway/admin/tokens.yaml"
    assert "gw-gateway-admin" in names("everything")


def test_no_secret_is_written_into_an_object(report: dict[str, Any]) -> None:
    address = environment(report, "external")["GATEWAY_REDIS_URL"]

    assert address == {"secretKeyRef": {"name": "redis", "key": "url"}}
    assert not any(objects(report, case, "Secret") for case in SOUND)


def test_the_bundled_redis_is_left_out_where_there_is_another(report: dict[str, Any]) -> None:
    assert objects(report, "default", "StatefulSet")
    assert not objects(report, "external", "StatefulSet")
    assert "for trials" in report["cases"]["default"]["notes"]
    assert "for trials" not in report["cases"]["external"]["notes"]


def test_routes_become_the_files_that_they_are(report: dict[str, Any]) -> None:
    (files,) = [
        each for each in objects(report, "everything", "ConfigMap") if each["metadata"]["name"].endswith("-routes")
    ]

    assert yaml.safe_load(files["data"]["fraud.yaml"]) == {"model": "fraud", "split": {"1": 100}}


def test_autoscaling_leaves_the_number_of_replicas_alone(report: dict[str, Any]) -> None:
    (scaled,), (fixed,) = (objects(report, case, "Deployment") for case in ("everything", "default"))
    (scaler,) = objects(report, "everything", "HorizontalPodAutoscaler")

    assert "replicas" not in scaled["spec"]
    assert fixed["spec"]["replicas"] == 2
    assert [each["type"] for each in scaler["spec"]["metrics"]] == ["Resource", "Pods"]
    assert scaler["spec"]["metrics"][1]["pods"]["metric"]["name"] == "gateway_requests_in_flight"


def test_prometheus_gets_the_rules_that_are_tested(report: dict[str, Any]) -> None:
    (rule,) = objects(report, "everything", "PrometheusRule")

    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts" / "gateway.yaml").read_text())
    assert rule["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize("case", ["everything", "secured"])
def test_prometheus_operator_would_take_its_objects(report: dict[str, Any], case: str) -> None:
    things = [*objects(report, case, "ServiceMonitor"), *objects(report, case, "PrometheusRule")]

    assert things
    assert [problem for thing in things for problem in prometheus_operator.problems(thing)] == []


def test_control_a_misspelt_member_and_a_wrong_duration_of_a_monitor_are_found(report: dict[str, Any]) -> None:
    [monitor] = objects(report, "everything", "ServiceMonitor")
    broken = {"tlsconfig": {}, "interval": "15", "authorization": {"token": "x"}}
    spec = {**monitor["spec"], "endpoints": [{**monitor["spec"]["endpoints"][0], **broken}]}

    assert len(list(prometheus_operator.problems({**monitor, "spec": spec}))) == 3


def test_grafana_gets_the_dashboards_that_are_tested(report: dict[str, Any]) -> None:
    (files,) = [
        each for each in objects(report, "everything", "ConfigMap") if each["metadata"]["name"].endswith("-dashboards")
    ]
    shipped = {path.name: path.read_text() for path in (CHART / "files" / "dashboards").iterdir()}

    assert files["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert files["data"] == shipped


def test_prometheus_finds_the_admin_port_where_it_looks(report: dict[str, Any]) -> None:
    (monitor,) = objects(report, "everything", "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()

    (service,) = [
        each for each in objects(report, "everything", "Service") if wanted <= each["metadata"]["labels"].items()
    ]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert [port["targetPort"] for port in service["spec"]["ports"] if port["name"] == endpoint["port"]] == ["admin"]


@pytest.mark.parametrize("case", ["everything", "external"])
def test_the_network_lets_through_what_the_values_name_and_dns(report: dict[str, Any], case: str) -> None:
    (policy,) = [each for each in objects(report, case, "NetworkPolicy") if each["metadata"]["name"] == "gw-gateway"]
    (container,) = gateway_pod(report, case)["containers"]
    dns, store, *others = policy["spec"]["egress"]

    opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert opened <= {port["name"] for port in container["ports"]}
    assert ("admin" in opened) == (case == "everything")
    assert {port["port"] for port in dns["ports"]} == {53}
    assert store["ports"] == [{"port": 6379}]
    assert others == CASES[case]["networkPolicy"].get("egress", [])


@pytest.mark.parametrize("case", ["default", "everything", "external"])
def test_replicas_are_spread_over_nodes_and_leave_one_by_one(report: dict[str, Any], case: str) -> None:
    (deployment,) = objects(report, case, "Deployment")
    (budget,) = objects(report, case, "PodDisruptionBudget")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()

    for spread in gateway_pod(report, case)["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels
        assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert budget["spec"]["maxUnavailable"] == 1


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == __version__
