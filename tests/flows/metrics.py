"""What ``/metrics`` says, in the words of the tests."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.flows.models import MODEL

if TYPE_CHECKING:
    from tests.flows.gateway_process import Gateway


def scrape(gateway: Gateway) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return every sample: name → labels, sorted → value."""
    answer = gateway.ask_admin("GET", "/metrics")
    assert answer.status == 200
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def requests(gateway: Gateway, outcome: str = "ok", *, model: str = MODEL) -> Counter[str]:
    """Return how many requests each version of *model* ended with *outcome*; versions without any are left out."""
    counts: Counter[str] = Counter()
    for labels, value in scrape(gateway).get("gateway_requests_total", {}).items():
        named = dict(labels)
        if named["model"] == model and named["outcome"] == outcome and value:
            counts[named["version"]] += int(value)
    return counts


def all_requests(gateway: Gateway, *, model: str = MODEL) -> Counter[tuple[str, str]]:
    """Return how many requests each version of *model* ended how: (version, outcome) → count."""
    counts: Counter[tuple[str, str]] = Counter()
    for labels, value in scrape(gateway).get("gateway_requests_total", {}).items():
        named = dict(labels)
        if named["model"] == model and value:
            counts[named["version"], named["outcome"]] += int(value)
    return counts


def gauge(gateway: Gateway, name: str, **labels: str) -> float | None:
    """Return one sample, None where there is none."""
    return scrape(gateway).get(name, {}).get(tuple(sorted(labels.items())))


def adopted(gateway: Gateway, *, model: str = MODEL) -> float | None:
    """Return the revision that every worker has reached."""
    return gauge(gateway, "gateway_route_revision", model=model)
