"""The example routes say what the gateway reads, about models that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.core.document import RouteDocument, parse

ROOT = Path(__file__).resolve().parents[2]
ROUTES = sorted((ROOT / "routing_configs").glob("*.yaml"))

every_route = pytest.mark.parametrize("file", ROUTES, ids=lambda file: file.name)


def document(file: Path) -> RouteDocument:
    return parse(yaml.safe_load(file.read_text(encoding="utf-8")))


@every_route
def test_an_example_is_named_after_the_model_it_routes(file: Path) -> None:
    assert document(file).model == file.stem


@every_route
def test_an_example_names_only_versions_that_are_shipped(file: Path) -> None:
    route = document(file)

    shipped = {int(version.name) for version in (ROOT / "models" / route.model).iterdir()}

    assert route.versions() <= shipped


def test_breast_cancer_keeps_a_user_on_a_version_and_a_tenth_of_them_on_the_canary() -> None:
    route = document(ROOT / "routing_configs/breast-cancer.yaml")

    assert dict(route.split) == {1: 90, 2: 10}
    assert (str(route.assign.by), route.assign.salt, route.baseline) == ("header:x-user-id", "breast-cancer", 1)
    assert len(route.rules) == 2


def test_text_topics_has_no_example_and_shows_the_default_route() -> None:
    assert "text-topics" not in {file.stem for file in ROUTES}
