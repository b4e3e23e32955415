"""The settings that the chart has values for: which there are, what they become, and what a limit of memory means."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway import __version__
from gateway.settings import Settings, from_environment, variable
from tests.deploy.environment import ROOT, needs_ops
from tests.deploy.test_chart import EVERYTHING, KUBERNETES, SECURED, environment, gateway_pod, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs_ops

TRUSTED: Final[dict[str, Any]] = {
    "gateway": {
        "workerMemory": "900m",
        "prometheusUrl": "http://prometheus:9090",
        "feedbackTtl": "7d",
        "repositoryControl": True,
        "envFromSecret": "bucket",
    },
    "admin": {"existingSecret": "tokens"},
    "models": {"source": "objectStore", "objectStore": {"url": "s3://bucket/models"}},
    "trustedKeys": {"existingConfigMap": "release-keys"},
    "notifications": {"existingSecret": "webhooks"},
}
TO_EXTRA_ENV: Final = {"max_queue", "redis_server"}
"""Settings that have no value of their own: whoever needs one names it in gateway.extraEnv."""
FROM_THE_IMAGE: Final = {"port", "admin_port"}
"""Settings whose defaults the ports of the pod are; the service's ports are values."""


def limited(memory: object, workers: int = 2) -> dict[str, Any]:
    return {"resources": {"limits": {"memory": memory}}, "gateway": {"workers": workers}}


INSTALL: Final = re.compile(r"^helm install gw helm/gateway((?:[^\n]|(?<=\\)\n)*)", re.MULTILINE)
"""A command of the documentation that installs the chart, with the lines that it goes on in."""


def documented() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each `helm install` of the documentation, and its values."""
    for page in ("README.md", "docs/deploying.md"):
        for command in INSTALL.findall((ROOT / page).read_text()):
            values: dict[str, Any] = {}
            for path, text in re.findall(r"--set ([a-zA-Z.]+)=(\S+)", command):
                *above, last = path.split(".")
                place = values
                for each in above:
                    place = place.setdefault(each, {})
                place[last] = text
            yield f"{page}: {command.strip()}", values


CASES: Final[dict[str, dict[str, Any]]] = {
    "secured": SECURED,
    "everything": EVERYTHING,
    "trusted": TRUSTED,
    "keys in a secret": {"trustedKeys": {"existingSecret": "keys", "key": "release.pub"}},
    "1Gi for 2": limited("1Gi"),
    "1Gi for 8": limited("1Gi", 8),
    "1.5G for 2": limited("1.5G"),
    "2000000000 for 1": limited(2_000_000_000, 1),
    "no limit": limited(None),
    "strange limit": limited("1e9"),
    "two places of keys": {"trustedKeys": {"existingSecret": "keys", "existingConfigMap": "keys"}},
    "no bucket": {"models": {"source": "objectStore"}},
    "no scheme": {"models": {"source": "objectStore", "objectStore": {"url": "bucket/models"}}},
    "a password in sight": {"gateway": {"prometheusUrl": "http://user:password@prometheus:9090"}},
    "orders of nobody": {"gateway": {"repositoryControl": True}},
    "no size": {"gateway": {"workerMemory": "much"}},
}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return judged(CASES, KUBERNETES[-1])


def settings_of(report: dict[str, Any], case: str) -> Settings:
    given = {name: text for name, text in environment(report, case).items() if isinstance(text, str)}
    return from_environment({}, given)


@pytest.mark.parametrize("case", ["trusted", "keys in a secret", "no limit"])
def test_kubernetes_would_take_every_object(report: dict[str, Any], case: str) -> None:
    assert report["cases"][case]["problems"] == []


def test_every_setting_has_a_value_or_is_known_to_have_none(report: dict[str, Any]) -> None:
    given = {name for case in ("secured", "everything", "trusted") for name in environment(report, case)}
    given -= EVERYTHING["gateway"]["extraEnv"].keys()

    without = {each.name for each in dataclasses.fields(Settings) if variable(each.name) not in given}
    assert without == TO_EXTRA_ENV | FROM_THE_IMAGE


def test_values_become_the_settings_that_they_are_called_after(report: dict[str, Any]) -> None:
    settings = settings_of(report, "trusted")

    assert settings.models_url == "s3://bucket/models"
    assert (settings.prometheus_url, settings.feedback_ttl) == ("http://prometheus:9090", 7 * 86_400)
    assert (settings.repository_control, settings.worker_memory) == (True, 900 << 20)
    (container,) = gateway_pod(report, "trusted")["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert "models" not in {each["name"] for each in container["volumeMounts"]}


@pytest.mark.parametrize(
    ("case", "source", "file"),
    [
        ("trusted", {"configMap": {"name": "release-keys"}}, "trusted-keys"),
        ("keys in a secret", {"secret": {"secretName": "keys", "defaultMode": 0o440}}, "release.pub"),
    ],
)
def test_trusted_keys_are_mounted_from_where_the_values_say(
    report: dict[str, Any], case: str, source: dict[str, Any], file: str
) -> None:
    pod = gateway_pod(report, case)
    (container,) = pod["containers"]

    assert str(settings_of(report, case).trusted_keys) == f"/etc/gateway/trusted-keys/{file}"
    assert {"name": "trusted-keys", **source} in pod["volumes"]
    assert {"name": "trusted-keys", "mountPath": "/etc/gateway/trusted-keys", "readOnly": True} in container[
        "volumeMounts"
    ]
    assert "signed" in report["cases"][case]["notes"]


def test_the_file_of_notifications_lies_beside_its_secrets(report: dict[str, Any]) -> None:
    volumes = {each["name"]: each for each in gateway_pod(report, "trusted")["volumes"]}

    assert str(settings_of(report, "trusted").webhooks) == "/etc/gateway/notifications/webhooks.yaml"
    assert volumes["notifications"]["secret"] == {"secretName": "webhooks", "defaultMode": 0o440}


@pytest.mark.parametrize(
    ("case", "limit_bytes", "workers"),
    [
        ("1Gi for 2", 1 << 30, 2),
        ("1Gi for 8", 1 << 30, 8),
        ("1.5G for 2", 1_500_000_000, 2),
        ("2000000000 for 1", 2_000_000_000, 1),
    ],
)
def test_a_limit_of_memory_leaves_room_for_every_worker_and_a_successor(
    report: dict[str, Any], case: str, limit_bytes: int, workers: int
) -> None:
    worker_bytes = settings_of(report, case).worker_memory

    assert worker_bytes * (workers + 1) == pytest.approx(0.9 * limit_bytes, abs=(workers + 1) << 20)


def test_without_a_limit_of_memory_no_worker_is_replaced(report: dict[str, Any]) -> None:
    assert settings_of(report, "no limit").worker_memory == 0


def test_what_the_documentation_installs_is_what_it_then_speaks_of() -> None:
    commands = dict(documented())
    cases = judged(commands, KUBERNETES[-1])["cases"]

    assert len(commands) == 3
    for command, found in cases.items():
        assert "error" not in found, (command, found)
        assert found["problems"] == [], command
        names = {(each["kind"], each["metadata"]["name"]) for each in found["objects"]}
        assert ("Deployment", "gw-gateway") in names, command
        (container,) = next(
            each["spec"]["template"]["spec"]["containers"] for each in found["objects"] if each["kind"] == "Deployment"
        )
        assert container["image"] == f"registry.example.com/canary-gateway:{__version__}", command


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("strange limit", "set gateway.workerMemory"),
        ("two places of keys", "not both"),
        ("no bucket", "models.objectStore.url"),
        ("no scheme", "url"),
        ("a password in sight", "prometheusUrl"),
        ("orders of nobody", "needs admin.existingSecret"),
        ("no size", "workerMemory"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(report: dict[str, Any], case: str, told: str) -> None:
    assert told in report["cases"][case]["error"]
