"""A version of a model in an MLflow registry: asked for over MLflow's REST API, its files fetched, its run described.

MLflow itself is not needed. What the server says is believed as far as its types; names become paths only below the
directory that is given. Blocks; each answer has a time to come.

Source: MLflow, "REST API" 2.0 (https://mlflow.org/docs/latest/api_reference/rest-api.html), and its artifact proxy.
"""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from gateway.convert.errors import CannotConvert

if TYPE_CHECKING:
    from http.client import HTTPResponse

SCHEME: Final = "mlflow://"
TIMEOUT_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 4 << 20
MAX_FILES: Final = 1_000
MAX_DEPTH: Final = 8
MAX_BYTES: Final = 4 << 30
"""Of all files of a model together."""
MAX_NOTES: Final = 4_000
MAX_CHARACTERS: Final = 200
"""Of one text that the metadata takes over."""

_NAMED: Final = re.compile(r"mlflow://(?P<model>[^/@]+)(?:/(?P<version>[0-9]+)|@(?P<alias>[^/@]+))")
_COMMIT: Final = "mlflow.source.git.commit"


def is_registered(named: str) -> bool:
    """Say whether *named* is a model in a registry rather than a file."""
    return named.startswith(SCHEME)


def fetch(named: str, server: str, to: Path) -> dict[str, Any]:
    """Put the files of ``mlflow://NAME/VERSION`` or ``mlflow://NAME@ALIAS`` into *to*; return what is known of it.

    server: address of the MLflow server, with a user and a password where it asks for them. The members are metadata:
    metrics, parameters, source_revision, notes and ``imported``. Raises CannotConvert.
    """
    match = _NAMED.fullmatch(named)
    if match is None:
        raise CannotConvert(f"{named} names no model; write mlflow://NAME/VERSION or mlflow://NAME@ALIAS")
    registry = _Server(server)
    model = unquote(match["model"])
    if match["alias"]:
        found = registry.ask("registered-models/alias", name=model, alias=unquote(match["alias"]))
    else:
        found = registry.ask("model-versions/get", name=model, version=match["version"])
    version = _mapping(found, "model_version")
    number = _text(version, "version")
    uri = _text(registry.ask("model-versions/get-download-uri", name=model, version=number), "artifact_uri")
    _fetch_files(registry, uri, to)
    run = _text(version, "run_id")
    known = _of_run(_mapping(registry.ask("runs/get", run_id=run), "run")) if run else {}
    imported = {"format": "mlflow", "registered": f"{model}/{number}", "run": run}
    notes = _text(version, "description")[:MAX_NOTES]
    return {**known, **({"notes": notes} if notes else {}), "imported": imported}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the password is for one server."""

    def redirect_request(self, *_given: object) -> None:
        """Return no request."""


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


class _Server:
    """One MLflow server. The password is sent, and never shown."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CannotConvert("mlflow:// needs the address of a server; name it with --mlflow http://HOST:PORT")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._headers = {}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"

    def ask(self, path: str, **query: str) -> dict[str, Any]:
        """Return the answer of one endpoint of the REST API. Raises CannotConvert."""
        with self.open(f"/api/2.0/mlflow/{path}?{urlencode(query)}") as response:
            return self._read(response)

    def files(self, path: str) -> list[dict[str, Any]]:
        """Return the entries of a folder among the artifacts that the server passes on. Raises CannotConvert."""
        with self.open(f"/api/2.0/mlflow-artifacts/artifacts?{urlencode({'path': path})}") as response:
            found = self._read(response).get("files", [])
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def open(self, path: str) -> HTTPResponse:
        """Return the open answer. Raises CannotConvert where there is none, or one that says no."""
        try:
            request = urllib.request.Request(self.url + path, headers=self._headers)  # noqa: S310 - http or https
            answer: HTTPResponse = _OPENER.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as exc:
            with exc:
                raise CannotConvert(f"{self.url} answers {exc.code}: {_said(exc.read(MAX_CHARACTERS * 5))}") from exc
        except OSError as exc:
            reason = getattr(exc, "reason", exc)
            raise CannotConvert(f"the MLflow server {self.url} cannot be asked: {reason}; check --mlflow") from exc
        return answer

    def _read(self, response: HTTPResponse) -> dict[str, Any]:
        try:
            found = json.loads(response.read(MAX_ANSWER_BYTES))
        except (OSError, ValueError) as exc:
            raise CannotConvert(f"{self.url} answers, and not as MLflow does ({exc}); check --mlflow") from exc
        return found if isinstance(found, dict) else {}


def _fetch_files(server: _Server, uri: str, to: Path) -> None:
    """Put the artifacts at *uri* into *to*."""
    parts = urlsplit(uri)
    if not uri:
        raise CannotConvert(f"{server.url} does not say where the files lie; check --mlflow")
    if parts.scheme == "mlflow-artifacts":
        _fetch_folder(server, unquote(parts.path).strip("/"), to, [MAX_FILES, MAX_BYTES])
    elif parts.scheme in {"", "file"} and Path(unquote(parts.path)).is_dir():
        shutil.copytree(unquote(parts.path), to, dirs_exist_ok=True)
    else:
        raise CannotConvert(
            f"the server keeps this version at {uri}, which it does not pass on; fetch it with "
            f"`mlflow artifacts download`, and name the folder"
        )


def _fetch_folder(server: _Server, path: str, to: Path, left: list[int], depth: int = 0) -> None:
    """Put the folder *path* among the artifacts into *to*. *left*: how many files and bytes may still come."""
    if depth > MAX_DEPTH:
        raise CannotConvert(f"{server.url} nests folders too deeply for a model; check --mlflow")
    for each in server.files(path):
        name = str(each.get("path", "")).rpartition("/")[2]
        if name in {"", ".", ".."} or "\0" in name:
            raise CannotConvert(f"{server.url} names a file {name!r}, which is no name; check --mlflow")
        if each.get("is_dir"):
            (to / name).mkdir(exist_ok=True)
            _fetch_folder(server, f"{path}/{name}", to / name, left, depth + 1)
            continue
        left[0] -= 1
        with server.open(f"/api/2.0/mlflow-artifacts/artifacts/{quote(f'{path}/{name}')}") as response:
            _save(response, to / name, left)
        if min(left) < 0:
            raise CannotConvert(f"the model has more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB; name a folder")


def _save(response: HTTPResponse, path: Path, left: list[int]) -> None:
    try:
        with path.open("xb") as file:
            while left[1] >= 0 and (piece := response.read(1 << 20)):
                left[1] -= len(piece)
                file.write(piece)
    except OSError as exc:
        raise CannotConvert(f"{path.name} cannot be fetched: {exc}; try again") from exc


def _of_run(run: dict[str, Any]) -> dict[str, Any]:
    """Return what a run says as members of metadata: the last value of each metric, its parameters, its commit."""
    data = _mapping(run, "data")
    tags = _pairs(data, "tags")
    metrics = {key: value for key, value in _pairs(data, "metrics").items() if _is_number(value)}
    return {
        "metrics": metrics,
        "parameters": {key: str(value)[:MAX_CHARACTERS] for key, value in _pairs(data, "params").items()},
        **({"source_revision": str(tags[_COMMIT])[:MAX_CHARACTERS]} if _COMMIT in tags else {}),
    }


def _pairs(data: dict[str, Any], member: str) -> dict[str, Any]:
    listed = data.get(member)
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {each["key"]: each.get("value") for each in found if isinstance(each.get("key"), str)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _mapping(data: dict[str, Any], member: str) -> dict[str, Any]:
    found = data.get(member)
    return found if isinstance(found, dict) else {}


def _text(data: dict[str, Any], member: str) -> str:
    found = data.get(member)
    return found if isinstance(found, str) else ""


def _said(content: bytes) -> str:
    """Return what an error says in words, on one line."""
    try:
        text = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        text = content.decode(errors="replace")
    return " ".join(text.split())[:MAX_CHARACTERS]
