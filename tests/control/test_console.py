"""The console's page and files, and the answers that it is made from, without a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from gateway.control import docs
from gateway.control.admin import create_admin
from gateway.control.console import FILES, console_files
from gateway.core.guards import DEFAULTS, UNLESS_NAMED
from gateway.core.policies import POLICIES
from gateway.ports.metrics import Traffic
from tests.control.fakes import FakeDoor, House, no_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SOURCES = {name: content.decode() for name, (content, _) in console_files().items()}
PAGES = {"index.html": SOURCES["index.html"], "docs": docs.PAGE}
SCRIPTS = {name: text for name, text in SOURCES.items() if name.endswith(".js")}


USAGE = {"rows": 4, "cpu_seconds": 0.5, "cpu_seconds_per_row": 0.125, "cpu_share": 0.25}


class Counted:
    """Implements ``ports.TrafficFigures``."""

    def of(self, model: str) -> Mapping[str, Traffic]:
        return {"1": Traffic({"ok": 3}, 1, {50: 0.002}, 4, 0.5, 0.25)} if model == "fraud" else {}


@pytest.mark.parametrize(("accept", "is_page"), [(BROWSER, True), ("*/*", False), ("application/json", False)])
def test_browsers_get_the_page_and_programs_the_index(admin: TestClient, accept: str, is_page: bool) -> None:
    answer = admin.get("/", headers={"accept": accept})

    assert answer.headers["content-type"].startswith("text/html" if is_page else "application/json")
    assert answer.headers["vary"] == "accept"
    assert ("endpoints" in answer.text) != is_page


def test_every_file_is_served_to_anybody_with_its_type_and_the_policy() -> None:
    client = TestClient(
        create_admin((house := House(FakeDoor())).operations, house.workers, house.door, no_metrics, {})
    )

    for name, (content, media_type) in console_files().items():
        answer = client.get(f"/console/{name}")
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"] == media_type
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_file_in_the_directory_is_served() -> None:
    assert {path.name for path in FILES.iterdir()} == set(SOURCES)


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fauth.py", "%2e%2e/auth.py", "../console.py", "app.js%00", ""])
def test_nothing_else_is_served(admin: TestClient, name: str) -> None:
    assert admin.get(f"/console/{name}").status_code == 404


def test_a_page_refers_to_files_that_are_there_and_to_nothing_outside() -> None:
    texts = [*SOURCES.values(), docs.PAGE]
    named = {name for text in texts for name in re.findall(r"/console/([\w.]+)", text)}

    assert named | {"index.html"} == set(SOURCES)
    addresses = {found for text in texts for found in re.findall(r"\w+://[\w.]+", text)}
    assert addresses <= {"http://www.w3.org"}  # a namespace, which nobody asks for


@pytest.mark.parametrize("name", sorted(PAGES))
def test_nothing_is_inline(name: str) -> None:
    page = PAGES[name]

    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_no_script_makes_markup_or_code_out_of_text(name: str) -> None:
    pattern = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc"
    assert not re.search(pattern, SCRIPTS[name])


def test_the_token_is_never_put_into_a_url_or_kept_beyond_the_tab() -> None:
    assert not any("localStorage" in text or "document.cookie" in text for text in SCRIPTS.values())
    assert [name for name, text in SCRIPTS.items() if "getItem" in text] == ["api.js"]


def test_figures_show_shares_outcomes_and_quantiles(house: House) -> None:
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, traffic=Counted())
    client = TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5))

    found = client.get("/api/v1/models/fraud/figures").json()

    assert found["versions"] == {
        "1": {
            "share": 0.0, "requests": {"ok": 3}, "fallbacks": 1, "latency_seconds": {"p50": 0.002}, "usage": USAGE
        }
    }  # fmt: skip
    assert client.get("/api/v1/models/nobody/figures").status_code == 404


def test_each_version_shows_what_it_took_and_null_where_no_worker_has_it(house: House) -> None:
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, traffic=Counted())
    client = TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5))

    one, *others = client.get("/api/v1/models/fraud/versions").json()["versions"]

    assert one["usage"] == USAGE
    assert {each["usage"] for each in others} == {None}
    assert client.get("/api/v1/models/fraud/versions/1").json()["usage"] == USAGE


def test_the_fleet_shows_what_keeps_a_worker_from_being_ready(admin: TestClient, house: House) -> None:
    house.workers.not_ready = {"fraud/3": "LOADING"}

    found = admin.get("/api/v1/fleet").json()

    assert found["store"] == "up"
    assert [(each["slot"], each["ready"], each["not_ready"]) for each in found["workers"]] == [
        (slot, False, {"fraud/3": "LOADING"}) for slot in (0, 1)
    ]


def test_everybody_is_told_who_they_are(admin: TestClient) -> None:
    me = admin.get("/api/v1/me", headers={"x-gateway-actor": "ann"}).json()

    assert me == {"name": "local:ann", "role": "admin", "models": ["*"]}


def names_in(constant: str) -> dict[str, str]:
    """Return the members of an object that ``plan.js`` holds under this name, each with its text."""
    found = re.search(rf"const {constant} = {{(.*?)}};", SCRIPTS["plan.js"], re.DOTALL)
    assert found
    return dict(re.findall(r"(\w+): (\[.*?\]|\w+)", found[1]))


def test_the_plans_that_the_console_offers_are_those_that_there_are() -> None:
    offered = {name: re.findall(r"\w+", listed) for name, listed in names_in("POLICIES").items()}

    assert offered == {name: list(defaults) for name, defaults in POLICIES.items()}


def test_the_guards_that_the_console_offers_are_those_that_there_are() -> None:
    usual = {name: text == "true" for name, text in names_in("GUARDS").items()}
    (tolerating,) = re.findall(r"const TOLERATING = \[(.*?)\]", SCRIPTS["plan.js"])

    assert usual == {name: name in UNLESS_NAMED for name in DEFAULTS}
    assert re.findall(r"\w+", tolerating) == [name for name, members in DEFAULTS.items() if "tolerate" in members]
