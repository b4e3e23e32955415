"""The page at ``/docs``: both ports' OpenAPI documents, for people.

The server writes the list of operations, so that it is there without JavaScript; the page's script adds to each what
the documents say of it. Documents are what programs get at ``/openapi.json``, and nothing else is said here.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse, JSONResponse

from gateway.control.openapi import describe_api

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.control.endpoint import Endpoint

PORTS: Final = (
    ("admin", "Admin port", "/openapi.json"),
    ("inference", "Inference port", "/docs/inference.json"),
)
"""Name, title and document of each port."""

METHODS: Final = ("get", "put", "post", "patch", "delete")

PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>canary-gateway API</title>
<link rel="icon" href="/console/icon.svg">
<link rel="stylesheet" href="/console/style.css">
<link rel="stylesheet" href="/console/docs.css">
<script type="module" src="/console/docs.js"></script>
</head>
<body>
<header><nav aria-label="pages"><a href="/">Console</a> {links}</nav>
<p id="state" role="status"></p></header>
<main id="page">
<h1>API</h1>
<noscript><p>With JavaScript this page shows parameters, bodies, examples; the documents have them too.</p></noscript>
{ports}
</main>
</body>
</html>
"""


async def show_inference(call: Call) -> Response:
    """Answer with the inference port's document, as that port has it."""
    return JSONResponse(call.admin.inference_api())


def show_page(call: Call, endpoints: Iterable[Endpoint]) -> Response:
    """Answer with the page."""
    documents = {
        "admin": describe_api(endpoints, version=str(call.admin.about.get("version", "0"))),
        "inference": call.admin.inference_api(),
    }
    shown = [(name, title, address, documents[name]) for name, title, address in PORTS if documents[name].get("paths")]
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title, _, _ in shown)
    return HTMLResponse(PAGE.format(links=links, ports="\n".join(_port(*each) for each in shown)))


def tag_of(path: str) -> str:
    """Return what a path is about: its last word that is no name of something and no version of an API."""
    words = [word for word in path.split("/") if word and not word.startswith("{") and word not in {"api", "v1", "v2"}]
    groups = ("rollouts", "route", "experiments", "recordings", "notifications", "history", "versions", "repository")
    return next((group for group in groups if group in words), words[0].partition("{")[0] if words else "server")


def _port(name: str, title: str, address: str, document: Mapping[str, Any]) -> str:
    """Return a port's section: its operations, those about one thing together, in the document's order."""
    by_tag: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                by_tag.setdefault(tag_of(path), []).append(_operation(name, method, path, item[method]))
    sections = "\n".join(f"<h3>{escape(tag)}</h3>\n{''.join(rows)}" for tag, rows in by_tag.items())
    base = next((each["url"] for each in document.get("servers", ())), "")
    return (
        f'<section id="{name}" data-document="{address}" data-base="{escape(base)}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{title}</h2>\n'
        f'<p>As an OpenAPI document: <a href="{address}">{address}</a></p>\n{sections}\n</section>'
    )


def _operation(port: str, method: str, path: str, operation: Mapping[str, Any]) -> str:
    """Return one operation: a line that opens. Its inside is the script's."""
    role = operation.get("x-role")
    needed = f' <span class="role">{escape(role)}</span>' if role else ""
    return (
        f'<details class="operation" id="{port}-{escape(operation["operationId"])}-{method}" '
        f'data-method="{method}" data-path="{escape(path)}">'
        f"<summary><code>{method.upper()} {escape(path)}</code>{needed} {escape(operation['summary'])}</summary>"
        f"</details>\n"
    )
