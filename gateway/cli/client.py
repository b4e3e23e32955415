"""The command line's way to the admin API: one request, one answer, every failure a plain sentence.

Built on the standard library alone: a command must be there before a heavy client is imported.
"""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from gateway.cli.client_certificate import client_certificate
from gateway.cli.contexts import read_contexts
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.settings import client_from_environment

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.cli.client_certificate import ClientCertificate
    from gateway.cli.contexts import Context
    from gateway.settings import ClientSettings

TIMEOUT_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: its JSON and, where the answer is a route, its entity tag."""

    data: Any
    etag: str | None = None


class Refused(CommandFailed):
    """The gateway answered, and said no. *status* is HTTP's, *problem* the document it sent."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(_sentence(status, problem))
        self.status = status
        self.problem = problem


class Client:
    """Speaks to the admin API of the gateway at *url*. *token* is sent, and never shown.

    *certificate* is shown where the port wants one. Raises CommandMisused for an address that is none, and for a
    certificate that cannot be used, or not over http://.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        certificate: ClientCertificate | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CommandMisused(f"{url!r} is no address of a gateway; write such as http://127.0.0.1:9090")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._https = parts.scheme == "https"
        if certificate is not None and not self._https:
            raise CommandMisused(f"a client certificate is shown over https:// only, and the address is {self.url}")
        self._context = None if certificate is None else certificate.context()
        self._host = parts.hostname
        try:
            self._port = parts.port
        except ValueError as exc:
            raise CommandMisused(f"{url!r} has no usable port") from exc
        self.token = token
        self._timeout_seconds = timeout_seconds

    def get(self, *segments: str, **query: str | Sequence[str]) -> Answer:
        """Ask for what lies under ``/api/v1/models`` at *segments*; a member of *query* may be there several times."""
        return self.ask("GET", _path(segments, query))

    def send(
        self,
        method: str,
        *segments: str,
        body: object,
        match: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """Change something; *match* is the entity tag of what is replaced, or ``*``."""
        headers = {"content-type": "application/json", **({"if-match": match} if match else {})}
        return self.ask(method, _path(segments, query or {}), json.dumps(body).encode(), headers)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer. Raises Refused for a problem, CommandFailed where no gateway answers."""
        with self._exchange(method, path, body, headers or {}) as response:
            return self._read(response, response.read(MAX_ANSWER_BYTES))

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of an answer of any length, each with its end. Raises as `ask`."""
        with self._exchange("GET", path, None, {}) as response:
            if response.status >= 400:
                self._read(response, response.read(MAX_ANSWER_BYTES))
            yield from iter(response.readline, b"")

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and let its answer be read. Raises CommandFailed where that cannot be done."""
        head = {"accept": "application/json", **headers}
        if self.token:
            head["authorization"] = f"Bearer {self.token}"
        connection = self._connection()
        try:
            connection.request(method, path, body, head)
            yield connection.getresponse()
        except ConnectionRefusedError as exc:
            raise CommandFailed(
                f"nothing answers at {self.url}: is the gateway running? "
                f"Start one with `gateway serve`, or name another one with --url"
            ) from exc
        except TimeoutError as exc:
            waited = f"{self._timeout_seconds:g} s"
            raise CommandFailed(f"{self.url} did not answer within {waited}; is it overloaded?") from exc
        except (OSError, http.client.HTTPException) as exc:
            said = str(exc) or type(exc).__name__
            raise CommandFailed(f"{self.url} cannot be reached: {said}; {self._hint(exc)}") from exc
        finally:
            connection.close()

    def _hint(self, error: Exception) -> str:
        """Return what to do about *error*; a port that misses a certificate may say no more than goodbye."""
        if not self._https:
            return "check --url"
        if isinstance(error, ssl.SSLCertVerificationError):
            return "check --url, and name who signed its certificate in SSL_CERT_FILE"
        if self._context is None:
            return "check --url, and give --client-cert where the port wants a certificate"
        return "check --url and --client-cert"

    def _connection(self) -> http.client.HTTPConnection:
        if not self._https:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_seconds, context=self._context)

    def _read(self, response: http.client.HTTPResponse, content: bytes) -> Answer:
        try:
            data = json.loads(content)
        except ValueError as exc:
            raise CommandFailed(f"{self.url} answers, and is no gateway's admin port; check --url") from exc
        if response.status >= 400:
            raise Refused(response.status, data if isinstance(data, dict) else {})
        return Answer(data, response.headers.get("etag"))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every command that speaks to a gateway."""
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    parser.add_argument("--url", help="address of the admin port (GATEWAY_URL; default http://127.0.0.1:9090)")
    parser.add_argument("--context", metavar="NAME", help="a gateway kept by `gateway context add` (GATEWAY_CONTEXT)")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file that holds the token (or GATEWAY_TOKEN)")
    add_certificate_flags(parser)


def add_certificate_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name what is shown to an admin port that wants a certificate."""
    parser.add_argument(
        "--client-cert", type=Path, metavar="FILE", help="certificate (PEM) for an admin port that wants one"
    )
    parser.add_argument(
        "--client-key", type=Path, metavar="FILE", help="key of --client-cert; without it the key lies in that file"
    )


def connect(args: argparse.Namespace) -> Client:
    """Return the client of the gateway that is meant. The token is read, and kept to itself.

    The first of these counts: --url, --context, GATEWAY_URL, GATEWAY_CONTEXT, the context in use, this machine. The
    token file and the certificate of a context go with its own address only; the one yields to --token-file and
    GATEWAY_TOKEN, the other to --client-cert.
    """
    settings = client_from_environment()
    context = _context(args, settings)
    token, file = settings.token, args.token_file
    if file is None and token is None and context is not None:
        file = context.token_file
    if file is not None:
        token = _read_token(file)
    if token and not (token.isascii() and token.isprintable()):
        raise CommandMisused("the token holds characters that no token has; check GATEWAY_TOKEN or --token-file")
    certificate = client_certificate(args.client_cert, args.client_key)
    if certificate is None and context is not None:
        certificate = context.certificate
    return Client(context.url if context else args.url or settings.url, token, certificate=certificate)


def _context(args: argparse.Namespace, settings: ClientSettings) -> Context | None:
    """Return the context that is meant; None where an address is, or nothing. Raises CommandMisused for an unknown."""
    if args.url and args.context:
        raise CommandMisused("--url and --context both name a gateway; give one of them")
    if args.url or (settings.is_named and not args.context):
        return None
    return read_contexts().named(args.context or settings.context)


def _read_token(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as exc:
        raise CommandMisused(f"the token file {str(file)!r} cannot be read") from exc


def _path(segments: tuple[str, ...], query: Mapping[str, str | Sequence[str]]) -> str:
    path = "/".join(["/api/v1/models", *(quote(segment, safe="") for segment in segments)])
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


def _sentence(status: int, problem: Mapping[str, Any]) -> str:
    detail = str(problem.get("detail") or f"the gateway answered {status}")
    return detail if detail.isprintable() else repr(detail)
