"""The documentation says what the code does: tables are compared with it, examples go through the real parsers."""

from __future__ import annotations

import ast
import base64
import dataclasses
import re
import shlex
import time
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import pytest
from starlette.routing import compile_path

import gateway
from gateway.cli import main
from gateway.control import problems as admin_problems
from gateway.control.admin_table import ENDPOINTS
from gateway.core.alarms import Alarm, State, Watched
from gateway.core.anomalies import SERIES
from gateway.core.document import RouteDocument, parse
from gateway.core.drift import ColumnFinding, Rate
from gateway.core.drift import State as DriftState
from gateway.core.errors import InvalidDocument
from gateway.core.limits import DEFAULT
from gateway.core.notification import Kind as Notified
from gateway.core.outcomes import OUTCOMES
from gateway.core.phases import Phase
from gateway.core.quality import COUNTS, DROPS, SUMS, Quality
from gateway.core.verdicts import Certificate, Kind, Verdict
from gateway.core.versions import VersionState, VersionStatus
from gateway.notifications.signing import signed
from gateway.notifications.targets import read_targets
from gateway.ports.evidence import ROLLBACK_REASONS, RolloutGauges
from gateway.ports.notifications import NOTIFICATION_OUTCOMES, TargetFigures
from gateway.ports.observing import RECORDING_OUTCOMES
from gateway.ports.workers import WorkerReport
from gateway.rest import problems as inference_problems
from gateway.rest.app import Metadata
from gateway.rpc import problems as rpc_problems
from gateway.rpc.service import METHODS
from gateway.settings import CLIENT_VARIABLES, LIMITS, Settings, flag, variable
from gateway.strict_yaml import read_document
from gateway.telemetry.alarms import AlarmCollector
from gateway.telemetry.collector import GatewayCollector
from gateway.telemetry.drift import DriftCollector
from gateway.telemetry.layout import COPY_DROPS, COPY_OUTCOMES, FALLBACKS, REFUSALS, TOLD_OUTCOMES, TOLD_SIGNALS
from gateway.telemetry.notifications import NotificationCollector
from gateway.telemetry.quality import QualityCollector
from gateway.telemetry.rollouts import RolloutCollector
from gateway.telemetry.slab import SlabDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.ports.workers import Workers

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "load_tests" / "README.md"])
FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(text) if kind == language]


def prose(text: str) -> str:
    """Return *text* without its fenced blocks, where nothing is a link."""
    return FENCE.sub("", text)


def rows(page: str, title: str) -> list[list[str]]:
    """Return the cells of every table whose first column is called *title*, bare of backticks."""
    found, inside = [], False
    for line in text_of(page).splitlines():
        cells = [cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if inside and line.startswith("|") and not set(line) <= set("|-: "):
            found.append(cells)
        inside = line.startswith("|") and (inside or cells[0] == title)
    return found


def commands(program: str) -> Iterator[str]:
    """Yield every line of a console block that runs *program*, without the prompt."""
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8"), "console"):
            for line in block.splitlines():
                if re.match(rf"\$ (?:\w+=\S+ )*(?:\.venv/bin/)?{program}\b", line):
                    yield line[2:]


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


# Settings, endpoints, errors, metrics: the tables are whole


def test_every_setting_is_described_with_its_variable_and_default() -> None:
    described = {cells[0]: cells[1:3] for cells in rows("docs/configuration.md", "flag")}

    for each in dataclasses.fields(Settings):
        default = "*one per core*" if each.name == "workers" else each.metadata["default"] or "*none*"
        assert described.pop(flag(each.name)) == [variable(each.name), default]
    assert {cells[0] for cells in described.values()} == CLIENT_VARIABLES


def test_every_event_that_is_told_is_described() -> None:
    assert [cells[0] for cells in rows("docs/notifications.md", "event")] == [kind.value for kind in Notified]


def test_the_example_of_webhooks_is_read(tmp_path: Path) -> None:
    (example,) = blocks(text_of("docs/notifications.md"), "yaml")
    (tmp_path / "webhooks.yaml").write_text(example)
    (tmp_path / "ops-secret").write_text("whsec_" + "A" * 43 + "=")

    targets = read_targets(tmp_path / "webhooks.yaml", {"SLACK_WEBHOOK": "https://hooks.example.com/x"}.get)

    assert [(target.name, target.format) for target in targets] == [("ops", "generic"), ("on-call", "slack")]


def test_the_example_of_a_check_takes_what_is_signed_and_nothing_else() -> None:
    (example,) = blocks(text_of("docs/notifications.md"), "python")
    made: dict[str, Any] = {}
    exec(example, made)
    key, now = bytes(32), int(time.time())
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = dict(signed("id-1", now, b"{}", [b"another key of 24 bytes!", key]))

    assert made["is_genuine"](headers, b"{}", secret)
    assert not made["is_genuine"](headers, b"{ }", secret)
    assert not made["is_genuine"](headers, b"{}", base64.b64encode(bytes(31) + b"1").decode())
    assert not made["is_genuine"](dict(signed("id-1", now - 900, b"{}", [key])), b"{}", secret)


def test_every_limit_is_described_with_its_default() -> None:
    described = {cells[0]: _number(cells[1]) for cells in rows("docs/inference-api.md", "--limits")}

    assert described == {name: getattr(DEFAULT, to) or 0 for name, (to, _) in LIMITS.items()}


def _number(text: str) -> float:
    count, _, unit = text.replace("*none*", "0").replace(",", "").partition(" ")
    return float(count) * {"": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20}[unit]


def test_every_endpoint_of_the_admin_api_is_described_with_its_role() -> None:
    described = [tuple(cells[:4]) for cells in rows("docs/admin-api.md", "method")]

    assert described == [
        (e.method, e.path, e.role.name.lower() if e.role else "anybody", str(e.status)) for e in ENDPOINTS
    ]


def inference_routes() -> dict[str, set[str]]:
    """Return path → methods of the inference port, HEAD left out."""
    nothing = cast("Any", None)
    routes = cast("Sequence[Any]", Metadata(nothing, nothing, nothing, dict, nothing, nothing).app().routes)
    return {route.path: route.methods - {"HEAD"} for route in routes}


def test_every_path_of_the_inference_port_is_described() -> None:
    described = {(cells[0], cells[1]) for cells in rows("docs/inference-api.md", "method") if len(cells) == 3}

    served = {(method, path) for path, methods in inference_routes().items() for method in methods}
    assert described == served - {("GET", "/v2/")}


def test_every_error_of_the_inference_port_is_described() -> None:
    described = {cells[0]: cells[1:] for cells in rows("docs/inference-api.md", "error")}

    for error, (status, outcome, code) in inference_problems.TABLE.items():
        given = described.pop(error.__name__)
        assert given[:2] == [str(status), OUTCOMES[outcome]]
        assert given[2].startswith(code)
        assert given[3] == rpc_problems.TABLE[error][0].name
    assert all("gateway" in left or "path" in left for left in described)


def test_every_method_of_the_grpc_door_is_described() -> None:
    described = " ".join(cells[0] for cells in rows("docs/inference-api.md", "method") if len(cells) == 2)

    assert set(re.findall(r"\w+", described)) == set(METHODS)


def test_every_code_of_a_refused_request_is_described() -> None:
    codes = set(re.findall(r"\w+", " ".join(cells[0] for cells in rows("docs/inference-api.md", "code of a 400"))))

    assert codes == set(refusal_codes()) - {"invalid_request"}


def refusal_codes() -> Iterator[str]:
    """Yield the code of every InvalidRequest that the request path raises."""
    rooms = ("rest", "rpc", "serving", "core")
    for path in [each for room in rooms for each in (ROOT / "gateway" / room).glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InvalidRequest":
                yield from (
                    each.value for each in node.args[1:] if isinstance(each, ast.Constant) and type(each.value) is str
                )


def test_every_error_of_the_admin_api_is_described() -> None:
    described = [tuple(cells) for cells in rows("docs/admin-api.md", "error")]

    assert described == [(e.__name__, str(status), kind) for e, (status, kind, _) in admin_problems.TABLE.items()]


def test_every_metric_is_described_with_its_type_and_labels(tmp_path: Path) -> None:
    slab = (slabs := SlabDirectory(tmp_path)).acquire()
    slab.version("fraud", "1")
    report = WorkerReport(
        0, 1, {}, {"fraud": 1}, [VersionStatus("fraud", 1, VersionState.READY, memory_bytes=1)], store_up=True,
        queue_limits={"fraud": {1: 8}},
    )  # fmt: skip
    workers = cast("Workers", SimpleNamespace(reports=lambda: [report]))
    described = {cells[0]: (cells[1], set(re.findall(r"\w+", cells[2]))) for cells in rows("docs/metrics.md", "metric")}

    certificate = Certificate(1.0, 20.0, 0.01, 0, 9)
    verdict = Verdict(Kind.INCONCLUSIVE, (), certificate, {"errors": 1.0}, {"errors": 9.0}, requests_to_decision=9)
    news = SimpleNamespace(
        gauges=lambda: {"fraud": RolloutGauges(Phase.STEP, {2: verdict})}, rollbacks=lambda: {("fraud", "errors"): 0}
    )
    said = dict.fromkeys((*COUNTS, *SUMS), 1.0)
    board = SimpleNamespace(qualities=lambda: {"fraud": {1: Quality(said, {("a", "a"): 1}, {0: {"rows": 1.0}})}})
    alarms = SimpleNamespace(standings=lambda: {"fraud": [Watched(Alarm("up", "up"), 0.0, heard=1.0).standing(2.0)]})
    finding = ColumnFinding("amount", DriftState.STABLE, 0.0, 1, 0.0, 1.0, "", Rate(0.0, 0.0), Rate(0.0, 0.0))
    drift = SimpleNamespace(
        findings=lambda: {"fraud": {1: [finding]}}, rows=lambda: {"fraud": {1: 1}}, anomalies=lambda: {"fraud": {1: []}}
    )
    collectors = (
        GatewayCollector(slabs, workers, lambda: {"fraud": {1: 1.0}}, runtime_version="1"),
        RolloutCollector(news), QualityCollector(board),
        NotificationCollector(lambda: {"ops": TargetFigures({"delivered": 1}, 0, 0.0)}),
        AlarmCollector(alarms),
        DriftCollector(drift),
    )  # fmt: skip

    for family in chain.from_iterable(collector.collect() for collector in collectors):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert family.samples, family.name
        assert described.pop(family.name + suffix) == (family.type.replace("info", "gauge"), labels)
    assert described == {}
    slab.close()


@pytest.mark.parametrize(
    ("label", "values"),
    [
        ("outcome", OUTCOMES),
        ("reason of fallbacks", FALLBACKS),
        ("reason of refused", REFUSALS),
        ("reason of rollbacks", ROLLBACK_REASONS),
        ("outcome of recordings", RECORDING_OUTCOMES),
        ("outcome of notifications", NOTIFICATION_OUTCOMES),
        ("state of alarms", tuple(State)),
        ("state of columns", tuple(DriftState)),
        ("series of anomalies", tuple(series.name for series in SERIES)),
        ("outcome of copies", COPY_OUTCOMES),
        ("signal", TOLD_SIGNALS),
        ("outcome of telemetry", TOLD_OUTCOMES),
        ("reason of dropped", COPY_DROPS),
        ("reason of feedback", tuple(DROPS)),
    ],
)
def test_every_value_of_a_bounded_label_is_described(label: str, values: Sequence[str]) -> None:
    described = next(cells[1] for cells in rows("docs/metrics.md", "label") if cells[0].startswith(label))

    assert re.findall(r"\w+", re.sub(r"\(.*?\)", "", described)) == list(values)


def test_the_states_of_a_version_are_those_of_the_diagram_and_none_is_a_trap() -> None:
    (diagram,) = blocks(text_of("docs/life-of-a-version.md"), "mermaid")
    arrows = re.findall(r"(\S+) --> (\w+)", diagram)

    states = {state.value for state in VersionState}
    assert {source for source, _ in arrows} - {"[*]"} == states
    assert {target for _, target in arrows} == states


def test_every_reason_why_a_version_fails_is_described() -> None:
    described = {cells[0] for cells in rows("docs/life-of-a-version.md", "code")}

    rooms = ("models", "engine", "verification")
    sources = [path for room in rooms for path in (ROOT / "gateway" / room).glob("*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert described == set(re.findall(r'(?:InvalidModel|Finding)\(\s*"(\w+)"', text))


def test_every_package_has_its_line_in_the_layout() -> None:
    rooms = {cells[0] for cells in rows("docs/layout.md", "room")}

    house = ROOT / "gateway"
    packages = {f"gateway/{path.parent.name}/" for path in house.glob("*/*.py")}
    modules = {f"gateway/{path.name}" for path in house.glob("*.py") if not path.name.startswith("__")}
    assert rooms == packages | modules


# Examples go through the real parsers


@pytest.mark.parametrize("example", blocks(text_of("docs/routes.md"), "yaml"))
def test_an_example_of_a_route_is_read_or_refused_as_it_says(example: str) -> None:
    refused = re.match(r"# refused: (\S+)\n", example)
    data = read_document(example.encode())

    if refused is None:
        assert isinstance(parse(data), RouteDocument)
    else:
        with pytest.raises(InvalidDocument) as caught:
            parse(data)
        assert caught.value.field == refused[1]


@pytest.mark.parametrize("line", sorted(set(commands("gateway"))))
def test_a_command_in_the_documentation_is_one_that_the_command_line_takes(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0], comments=True)
    words = words[next(index for index, word in enumerate(words) if word.endswith("gateway")) + 1 :]

    args = main.parser_for(words[0]).parse_args(words)

    assert args.noun == words[0]


@pytest.mark.parametrize("line", sorted(set(commands("curl"))))
def test_a_curl_in_the_documentation_asks_for_a_path_that_is_served(line: str) -> None:
    words = shlex.split(line)
    url = urlsplit(next(word for word in words if "://" in word))
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"

    served = inference_routes() if url.port == 8080 else {e.path: {e.method} for e in ENDPOINTS if e.method == method}
    assert any(compile_path(each)[0].match(url.path) and method in methods for each, methods in served.items())


@pytest.mark.parametrize("line", sorted({*commands("make"), *commands("pytest")}))
def test_a_target_or_test_that_is_named_is_there(line: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))

    for word in line.split()[1:]:
        assert word in targets or word.startswith("-") or (ROOT / word).exists()


# Pages hang together


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", prose(there.read_text(encoding="utf-8")), re.MULTILINE)
            assert fragment in map(anchor, headings), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page: Path) -> None:
    odd, cells = [], 0
    for line in prose(page.read_text(encoding="utf-8")).splitlines():
        before, cells = cells, len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if cells and before and cells != before:
            odd.append(line)

    assert odd == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = re.findall(
        r"`((?:gateway|tests|scripts|docs|load_tests|tools)/[\w./-]*)`", page.read_text(encoding="utf-8")
    )

    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_every_bug_of_another_server_has_a_test_that_exists() -> None:
    named = [cells[2] for cells in rows("docs/testing.md", "trap")]

    missing = []
    for each in named:
        path, _, name = each.partition("::")
        functions = ast.walk(ast.parse(text_of(path)))
        if name not in {each.name for each in functions if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}:
            missing.append(each)
    assert named
    assert missing == []


def test_every_test_that_is_about_a_bug_of_another_server_is_listed() -> None:
    listed = {cells[2] for cells in rows("docs/testing.md", "trap")}

    for page in ("tests/rest/test_peers_bugs.py", "tests/flows/test_peers_bugs.py"):
        for each in re.findall(r"def (test_\w+)", text_of(page)):
            assert f"{page}::{each}" in listed


def test_every_page_is_in_the_index() -> None:
    index = text_of("docs/README.md")

    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f"({page})" not in index and page != "README.md"] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_loaded_from_outside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert not re.search(r"!\[[^\]]*\]\(\s*(?:https?:)?//|<(?:img|script|link|iframe)\b", text)


def test_decisions_are_numbered_without_a_gap_and_have_every_part() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}. ")
        assert re.search(r"^Date: \d{4}-\d\d-\d\d\. Status: \w+", text, re.MULTILINE)
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Options", "Decision", "Consequences"]


def test_the_newest_version_in_the_changelog_is_the_one_that_runs() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text_of("CHANGELOG.md"), re.MULTILINE)

    assert versions[0] == gateway.__version__
