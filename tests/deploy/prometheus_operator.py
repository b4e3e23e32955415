"""What prometheus-operator's definitions of ServiceMonitor and PrometheusRule (v1) allow, as far as the chart goes.

Facts written down here, not the definitions themselves, which are long: names of members, and the form of durations.
Kubernetes drops a member that is not among them without a word where it does not validate strictly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DURATION: Final = re.compile(r"0|(?=.)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?")

ENDPOINT: Final = frozenset({
    "authorization", "basicAuth", "bearerTokenFile", "bearerTokenSecret", "enableHttp2", "filterRunning",
    "followRedirects", "honorLabels", "honorTimestamps", "interval", "metricRelabelings", "noProxy", "oauth2", "params",
    "path", "port", "proxyConnectHeader", "proxyFromEnvironment", "proxyUrl", "relabelings", "scheme", "scrapeTimeout",
    "targetPort", "tlsConfig", "trackTimestampsStaleness",
})  # fmt: skip
TLS: Final = frozenset({
    "ca", "caFile", "cert", "certFile", "insecureSkipVerify", "keyFile", "keySecret", "maxVersion", "minVersion",
    "serverName",
})  # fmt: skip
GROUP: Final = frozenset({
    "interval", "labels", "limit", "name", "partial_response_strategy", "query_offset", "rules",
})  # fmt: skip
RULE: Final = frozenset({"alert", "annotations", "expr", "for", "keep_firing_for", "labels", "record"})


def problems(thing: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the operator's definitions would not take of an object of either kind."""
    spec = thing["spec"]
    if thing["kind"] == "ServiceMonitor":
        yield from _strangers("spec", spec, {"endpoints", "selector"})
        for endpoint in spec["endpoints"]:
            yield from _endpoint(endpoint)
        return
    names = [group["name"] for group in spec["groups"]]
    if len(set(names)) < len(names):
        yield "two groups have one name, by which they are told apart"
    for group in spec["groups"]:
        yield from _strangers(group["name"], group, GROUP)
        for rule in group["rules"]:
            yield from _rule(group["name"], rule)


def _endpoint(endpoint: Mapping[str, Any]) -> Iterator[str]:
    yield from _strangers("endpoint", endpoint, ENDPOINT)
    yield from _strangers("tlsConfig", endpoint.get("tlsConfig", {}), TLS)
    shown = endpoint.get("authorization", {})
    yield from _strangers("authorization", shown, {"type", "credentials"})
    yield from _strangers("credentials", shown.get("credentials", {}), {"name", "key", "optional"})
    yield from _duration("interval", endpoint.get("interval", "0"))
    if endpoint.get("scheme", "http") not in ("http", "https"):
        yield f"scheme: {endpoint['scheme']}"


def _rule(group: str, rule: Mapping[str, Any]) -> Iterator[str]:
    name = f"{group}: {rule.get('alert') or rule.get('record')}"
    yield from _strangers(name, rule, RULE)
    if not isinstance(rule.get("expr"), str | int):
        yield f"{name}: no expr"
    for member in ("for", "keep_firing_for"):
        yield from _duration(f"{name}: {member}", rule.get(member, "0"))
    for member in ("labels", "annotations"):
        if not all(isinstance(text, str) for text in rule.get(member, {}).values()):
            yield f"{name}: {member} that are no texts"


def _strangers(where: str, given: Mapping[str, Any], known: frozenset[str] | set[str]) -> Iterator[str]:
    if strange := given.keys() - known:
        yield f"{where}: {sorted(strange)}"


def _duration(where: str, text: object) -> Iterator[str]:
    if not isinstance(text, str) or DURATION.fullmatch(text) is None:
        yield f"{where}: {text!r} is no duration"
