"""The settings of ``gateway serve``: flags and environment, read once, into one frozen value.

Every flag has an environment variable ``GATEWAY_<FLAG>``; flags win. An unknown ``GATEWAY_*`` is
an error, because a misspelt setting that is ignored is found at three in the morning. This is the
only module that reads the environment.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import ipaddress
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.core.errors import InvalidSettings
from gateway.core.limits import Limits
from gateway.core.providers import CPU, read_providers
from gateway.core.sampling import Sampling, read_sampling, read_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from urllib.parse import SplitResult

PREFIX: Final = "GATEWAY_"

CLIENT_VARIABLES: Final = frozenset({"GATEWAY_URL", "GATEWAY_TOKEN", "GATEWAY_CONTEXT"})
"""What the other commands read; ``serve`` tolerates them."""


def _directory(text: str) -> Path:
    if not text:
        raise ValueError("must name a directory")
    return Path(text)


def _address(text: str) -> str:
    if not text:
        raise ValueError("must name an address: an empty one would mean every interface")
    return text


def _file(text: str) -> Path | None:
    return Path(text) if text else None


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,18}", text) is None or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(text: str) -> float:
    """Return the seconds that ``500ms``, ``5s``, ``2m``, ``1h``, ``7d`` or a bare number of seconds writes."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?", text)
    if match is None:
        raise ValueError("must be a duration such as 500ms, 5s or 2m")
    return float(match[1]) * UNITS[match[2] or "s"]


def _some_seconds(text: str) -> float:
    if not (duration := seconds(text)):
        raise ValueError("must be more than nothing")
    return duration


SIZES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12})([kmg]?)i?b?", text.lower())
    if match is None or not (size := int(match[1]) * SIZES[match[2]]):
        raise ValueError("must be a size such as 65536, 512k or 64m")
    return size


def _memory(text: str) -> int:
    try:
        return 0 if text == "auto" else _bytes(text)
    except ValueError as exc:
        raise ValueError(f"{exc}, or auto") from None


def _memory_or_none(text: str) -> int:
    return 0 if text == "0" else _bytes(text)


def _providers(text: str) -> tuple[str, ...]:
    return read_providers(text.split(","))


def _choice(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read


def _switch(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError("must be true or false")
    return words[text.lower()]


def _store_url(text: str) -> str:
    if text and not re.match(r"(rediss?(\+(sentinel|cluster))?|unix)://", text):
        raise ValueError(
            "must begin with redis://, redis+sentinel://, redis+cluster://, with rediss for TLS, or unix://"
        )
    return text


def _has_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _prometheus_url(text: str) -> str:
    if text:
        parts = urlsplit(text)
        is_plain = text.isascii() and text.isprintable() and " " not in text and not parts.query + parts.fragment
        if not is_plain or parts.scheme not in {"http", "https"} or not parts.hostname or not _has_port(parts):
            raise ValueError("must be an address such as http://prometheus:9090, perhaps with a path")
    return text


def _collector_url(text: str) -> str:
    try:
        return _prometheus_url(text).rstrip("/")
    except ValueError:
        raise ValueError("must be an address such as http://collector:4318, perhaps with a path") from None


def _public_url(text: str) -> str:
    if text:
        parts = urlsplit(text)
        is_plain = re.fullmatch(r"[!-~]+", text, re.ASCII) is not None and not set(text) & set('?#@<>|"\\')
        if not is_plain or parts.scheme not in {"http", "https"} or not parts.hostname or not _has_port(parts):
            raise ValueError("must be an address such as https://gateway.example.com, perhaps with a path")
    return text


def _header(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9-]{1,64}", text) is None:
        raise ValueError("must be the name of a header, such as x-forwarded-for")
    return text.lower()


def _networks(text: str) -> tuple[Any, ...]:
    try:
        return tuple(ipaddress.ip_network(each) for each in text.split("+"))
    except ValueError:
        raise ValueError("must be networks, such as 10.0.0.0/8+fd00::/8, the last bits of each 0") from None


LIMITS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    **{name: (f"{name}_seconds", _some_seconds) for name in ("head", "body", "write", "idle")},
    **{
        name: (name.replace("-", "_"), _bytes)
        for name in ("head-bytes", "url-bytes", "json-bytes", "output-bytes", "held-bytes")
    },
    **{
        name: (name.replace("-", "_"), _integer(1, 2**31 - 1))
        for name in (
            "connections",
            "pipelined",
            "streams",
            "headers",
            "chunks",
            "json-members",
            "parameters",
            "outputs",
            "elements",
            "feedback",
        )
    },
    "json-depth": ("json_depth", _integer(1, 512)),
    **{name: (name.replace("-", "_"), _integer(0, 2**31 - 1)) for name in ("caller-in-flight", "caller-rate")},
    "caller-header": ("caller_header", _header),
    "caller-proxies": ("caller_proxies", _networks),
}
"""What ``--limits`` may name → the field it sets, and how its value is read."""


def _limits(text: str) -> Limits:
    """Return the limits that ``head=10s,connections=4096`` changes; those it does not name stay as they are."""
    found: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        name, _, value = part.partition("=")
        if name not in LIMITS or LIMITS[name][0] in found:
            raise ValueError(f"must be NAME=VALUE,…, each of {', '.join(LIMITS)} at most once")
        field_name, read = LIMITS[name]
        try:
            found[field_name] = read(value)
        except ValueError as exc:
            raise ValueError(f"must be right in every part: {name} {exc}") from exc
    if ("caller_header" in found) != ("caller_proxies" in found):
        raise ValueError("must name caller-header and caller-proxies together: the header, and who is believed in it")
    return Limits(**found)


_URL: Final = re.compile(r"([a-z][a-z0-9+.]*):/+(.+)", re.ASCII)


def store_url(models: Path) -> str:
    """Return the address that *models* was written as, such as ``s3://bucket/prefix``; empty for a directory."""
    match = _URL.fullmatch(str(models))  # a Path keeps one slash of the two
    return f"{match[1]}://{match[2]}" if match else ""


_QUOTAS: Final = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Microseconds of CPU time, and of the time in which they may be spent: of a container, by cgroups 2 and 1."""


def cores(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many processors this process may use: those it may run on, or its container's share where less."""
    allowed = len(os.sched_getaffinity(0))
    for names in _QUOTAS:
        try:
            quota, period = (int(word) for name in names for word in (root / name).read_text().split())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if quota > 0 and period > 0:
            return max(1, min(allowed, round(quota / period)))
    return allowed


def _setting(default: str, read: Callable[[str], Any], text: str) -> Any:
    return field(default=read(default), metadata={"default": default, "read": read, "help": text})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator can choose when the gateway starts."""

    models: Path = _setting("models", _directory, "repository: MODELS/NAME/VERSION/model.onnx, or s3://BUCKET/PREFIX")
    routes: Path = _setting("routing_configs", _directory, "route files that seed an empty store")
    redis_url: str = _setting(
        "",
        _store_url,
        "address of the store: redis://, redis+sentinel://, redis+cluster:// or unix://; without it one is embedded",
    )
    state_dir: Path = _setting(
        ".gateway", _directory, "where the embedded store, the last good routes and counters live"
    )
    host: str = _setting("127.0.0.1", _address, "address of the inference port")
    port: int = _setting("8080", _integer(0, 65535), "inference port; 0 takes a free one")
    grpc_port: int = _setting("8081", _integer(0, 65535), "gRPC port; 0 is off")
    admin_host: str = _setting("127.0.0.1", _address, "address of the admin port")
    admin_port: int = _setting("9090", _integer(0, 65535), "admin API and metrics port; 0 takes a free one")
    workers: int = _setting(str(cores()), _integer(1, 256), "data workers, one process each (default: one per core)")
    admin_token_file: Path | None = _setting(
        "", _file, "file of admin tokens; without it the admin port is loopback only"
    )
    admin_proxy_secret_file: Path | None = _setting(
        "", _file, "file of the secret by which a reverse proxy is believed who its user is"
    )
    metrics_auth: bool = _setting("false", _switch, "answer /metrics to tokens of --admin-token-file only, of any role")
    tls_cert: Path | None = _setting("", _file, "certificate (PEM) of the inference and gRPC ports, for TLS")
    tls_key: Path | None = _setting("", _file, "key of --tls-cert; without it the key lies in that file")
    tls_client_ca: Path | None = _setting("", _file, "callers must show a certificate that one in this file signed")
    admin_tls_cert: Path | None = _setting("", _file, "certificate (PEM) of the admin port, for TLS")
    admin_tls_key: Path | None = _setting("", _file, "key of --admin-tls-cert; without it the key lies in that file")
    admin_tls_client_ca: Path | None = _setting(
        "", _file, "who comes to the admin port must show a certificate that one in this file signed"
    )
    redis_server: Path | None = _setting("", _file, "redis-server or valkey-server binary for the embedded store")
    drain_delay: float = _setting("5s", seconds, "how long a stopping gateway is not ready and still answers")
    load: str = _setting("all", _choice("all", "routed"), "load every version found, or only what routes name")
    providers: tuple[str, ...] = _setting(
        CPU, _providers, "what runs versions that name nothing themselves, first choice first, such as cuda,cpu"
    )
    model_memory: int = _setting(
        "auto", _memory, "memory that loaded versions may take, all workers together; auto is 75 % of what there is"
    )
    model_idle: float = _setting(
        "0", seconds, "unload a version that no route names and nobody asked for so long; 0 never"
    )
    worker_memory: int = _setting(
        "0", _memory_or_none, "memory over which a worker is replaced, its successor first and nothing lost; 0 never"
    )
    repository_control: bool = _setting(
        "false",
        _switch,
        "take load and unload orders on the inference ports, from operators where there are tokens",
    )
    request_timeout: float = _setting("30s", _some_seconds, "deadline of a request that brings none")
    max_body: int = _setting("64m", _bytes, "largest request body")
    max_queue: int = _setting("1024", _integer(1, 1_000_000), "requests that may wait for one version in one worker")
    feedback_ttl: float = _setting(
        "1h", seconds, "how long an answer is remembered for labels, in the store; 0 remembers nothing"
    )
    prometheus_url: str = _setting(
        "", _prometheus_url, "http:// or https:// address of the Prometheus that the alarms of rollouts are asked of"
    )
    limits: Limits = _setting(
        "", _limits, "what one caller may take, such as head=10s,connections=4096,json-bytes=8m; see the documentation"
    )
    webhooks: Path | None = _setting("", _file, "file that says who is told of decisions, where and how")
    public_url: str = _setting(
        "", _public_url, "http:// or https:// address of the admin port as people reach it: notifications of rollouts "
        "that wait or are held then carry links to approve them or roll back"
    )  # fmt: skip
    trusted_keys: Path | None = _setting(
        "", _file, "file of public keys; a version that none of them signed is not served"
    )
    access_log: Sampling = _setting(
        "off", read_sampling, "a line per request, of a sample: off, a share such as 1%, or so many a second, worker "
        "by worker, such as 100/s"
    )  # fmt: skip
    otlp_endpoint: str = _setting(
        "", _collector_url, "http:// or https:// address of an OpenTelemetry collector for spans and metrics over "
        "OTLP/HTTP, such as http://collector:4318; without it none are made"
    )  # fmt: skip
    trace_sampling: float = _setting(
        "1%", read_share, "of requests whose caller names no trace, how many get spans; others as their caller does"
    )
    log_level: str = _setting("info", _choice("debug", "info", "warning", "error"), "what is logged")
    log_format: str = _setting("auto", _choice("auto", "json", "human"), "auto is human on a terminal, else JSON lines")

    @property
    def models_url(self) -> str:
        """The address of the object store that holds the models; empty where a directory does."""
        return store_url(self.models)

    @property
    def repository(self) -> Path:
        """The directory that the models are read from: of an object store, the copy of it in the state directory."""
        url = self.models_url
        return self.state_dir / "models" / hashlib.sha256(url.encode()).hexdigest()[:16] if url else self.models

    def log_human(self) -> bool:
        """Say whether logs are for a person at a terminal."""
        return self.log_format == "human" or (self.log_format == "auto" and sys.stderr.isatty())


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the commands that talk to a gateway take from the environment. *token* is sent, and never shown.

    *is_named*: GATEWAY_URL says which gateway is meant; else *url* is the address that ``serve`` would take here.
    *context* is a context's name.
    """

    url: str
    token: str | None
    is_named: bool = False
    context: str | None = None


def client_from_environment(environ: Mapping[str, str] | None = None) -> ClientSettings:
    """Return what CLIENT_VARIABLES say; without GATEWAY_URL, the address that ``serve`` would take here."""
    environ = os.environ if environ is None else environ
    host = environ.get(variable("admin_host"), "127.0.0.1")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what a server listens on, read as "here"
    scheme = "https" if environ.get(variable("admin_tls_cert")) else "http"
    here = f"{scheme}://{f'[{host}]' if ':' in host else host}:{environ.get(variable('admin_port'), '9090')}"
    named = environ.get("GATEWAY_URL")
    return ClientSettings(
        named or here, environ.get("GATEWAY_TOKEN"), bool(named), environ.get("GATEWAY_CONTEXT") or None
    )


def configuration_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Return where this user's settings of the commands lie. Raises InvalidSettings for a user without a home.

    Source: XDG Base Directory Specification 0.8, which has a relative XDG_CONFIG_HOME be ignored.
    """
    environ = os.environ if environ is None else environ
    given = Path(environ.get("XDG_CONFIG_HOME", ""))
    if given.is_absolute():
        return given / "canary-gateway"
    try:
        return Path(environ["HOME"] if environ.get("HOME") else Path.home()) / ".config" / "canary-gateway"
    except RuntimeError as exc:
        raise InvalidSettings("this user has no home directory; set XDG_CONFIG_HOME to an absolute path") from exc


def can_redraw(environ: Mapping[str, str] | None = None) -> bool:
    """Say whether the terminal, by its name, has a cursor that can be moved."""
    return (os.environ if environ is None else environ).get("TERM", "") not in {"", "dumb"}


def environment_without_settings() -> dict[str, str]:
    """Return this process's environment without any GATEWAY_*, for a child that gets its settings another way."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def secret_variable(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the variable that the operator's own file names as the place of a secret; None where it is not set."""
    return (os.environ if environ is None else environ).get(name)


def flag(name: str) -> str:
    """Return the command-line flag of the setting *name*."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """Return the environment variable of the setting *name*."""
    return PREFIX + name.upper()


def from_environment(flags: Mapping[str, str], environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that *flags* (setting name → text) and the environment make; flags win.

    Raises InvalidSettings, naming the flag or variable, what it was and what it must be.
    """
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    values: dict[str, Any] = {}
    for each in dataclasses.fields(Settings):
        if each.name in flags:
            source, text = flag(each.name), flags[each.name]
        elif variable(each.name) in environ:
            source, text = variable(each.name), environ[variable(each.name)]
        else:
            continue
        try:
            values[each.name] = each.metadata["read"](text)
        except ValueError as exc:
            raise InvalidSettings(f"{source} {exc}, not {_without_password(text)!r}") from exc
    return Settings(**values)


def _without_password(text: str) -> str:
    """Return *text* as a message may show it: an address that is mistyped holds its password all the same."""
    return re.sub(r"//.*@", "//…@", text)


def is_chosen(name: str, flags: Mapping[str, str], environ: Mapping[str, str] | None = None) -> bool:
    """Say whether a flag or a variable says what the setting *name* is to be."""
    return name in flags or variable(name) in (os.environ if environ is None else environ)


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {variable(each.name) for each in dataclasses.fields(Settings)} | CLIENT_VARIABLES
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            # Without the prefix, which is common to all and would make everything look close.
            near = difflib.get_close_matches(name[len(PREFIX) :], [each[len(PREFIX) :] for each in known], n=1)
            hint = f"; did you mean {PREFIX}{near[0]}?" if near else "; `gateway serve --help` lists the settings"
            raise InvalidSettings(f"environment variable {name} is not a setting{hint}")
