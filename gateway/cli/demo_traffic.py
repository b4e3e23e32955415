"""The callers of the demo: users who come back, each over a connection of its own, at a steady rate."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.samples import BENIGN


@dataclass
class Seen:
    """What the callers saw of one version since the last look."""

    milliseconds: list[float] = field(default_factory=list)


@dataclass
class Traffic:
    """What all callers saw: *failures* are errors, *bad_answers* those that are no probabilities, *rescued* those that
    the baseline gave in place of another version."""

    failures: int = 0
    answers: int = 0
    bad_answers: int = 0
    rescued: int = 0
    seen: dict[str, Seen] = field(default_factory=dict)

    def note(self, version: str, milliseconds: float, *, is_good: bool, is_rescued: bool) -> None:
        """Count one answer."""
        self.answers += 1
        self.bad_answers += not is_good
        self.rescued += is_rescued
        self.seen.setdefault(version, Seen()).milliseconds.append(milliseconds)

    def take(self) -> dict[str, Seen]:
        """Return what was seen since the last call."""
        seen, self.seen = self.seen, {}
        return seen


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes, user: str = ""
) -> tuple[dict[str, str], Any]:
    """Post *body* and return the headers, in lower case, and the answer read as JSON.

    Raises ValueError for an answer that is no success, OSError and EOFError for one that does not come.
    """
    writer.write(
        b"POST %s HTTP/1.1\r\nhost: demo\r\nx-user-id: %s\r\ncontent-length: %d\r\n\r\n%s"
        % (path.encode(), user.encode(), len(body), body)
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    answer = json.loads(await reader.readexactly(int(headers["content-length"])))
    if not head.startswith("http/1.1 20"):
        raise ValueError(head)
    return headers, answer


class Caller:
    """One connection that asks for one user after the other."""

    def __init__(self, host: str, port: int, users: list[str], traffic: Traffic) -> None:
        self._address = host, port
        self._users = users
        self._traffic = traffic

    async def run(self, per_second: float, stop: asyncio.Event) -> None:
        """Ask until *stop*; arrivals keep their rhythm whatever the answers do."""
        reader, writer = await asyncio.open_connection(*self._address)
        due = time.perf_counter()
        try:
            while not stop.is_set():
                user = random.choice(self._users)
                try:
                    await self._ask(reader, writer, user)
                except (OSError, EOFError, ValueError):
                    self._traffic.failures += 1
                    writer.close()
                    reader, writer = await asyncio.open_connection(*self._address)
                due += 1 / per_second
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
        finally:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: str) -> None:
        row = [round(value * random.uniform(0.8, 1.2), 5) for value in BENIGN]
        body = json.dumps({"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": row}]}).encode()
        started = time.perf_counter()
        headers, answer = await exchange(reader, writer, "/v2/models/breast-cancer/infer", body, user)
        if answer["model_version"] != headers["x-gateway-version"]:
            raise ValueError(headers)
        _, probabilities = answer["outputs"]
        is_good = all(value is not None and 0 <= value <= 1 for value in probabilities["data"])
        took = (time.perf_counter() - started) * 1000
        self._traffic.note(
            answer["model_version"], took, is_good=is_good, is_rescued="x-gateway-fallback-from" in headers
        )
