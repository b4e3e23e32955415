"""Triton's extensions over gRPC: loading and unloading, statistics, configurations. Translates, decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.ports.workers import Caller
from gateway.rpc.descriptors import MESSAGES
from gateway.serving.configuration import DATA_TYPES, data_type, model_config
from gateway.serving.orders import ordered_version
from gateway.serving.statistics import model_stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.metrics import Statistics
    from gateway.ports.workers import RepositoryControl
    from gateway.rpc.stream import Stream
    from gateway.serving.description import Description

NUMBERS: Final = {data_type(name): number for name, number in DATA_TYPES.items()}


class Extensions:
    """Answers the methods of the extensions: each takes a message and the stream it came on, and returns a message."""

    def __init__(self, described: Description, control: RepositoryControl, statistics: Statistics) -> None:
        self._described = described
        self._control = control
        self._statistics = statistics

    async def model_config(self, given: Any, _: Stream) -> Any:
        version = self._described.named(given.name, given.version or None)
        said = model_config(given.name, self._described.signature(given.name, version))
        for side in (said["input"], said["output"]):
            for tensor in side:
                tensor["data_type"] = NUMBERS[tensor["data_type"]]
        return MESSAGES["ModelConfigResponse"](config=said)

    async def model_statistics(self, given: Any, _: Stream) -> Any:
        versions = self._described.counted_versions(given.name or None, given.version or None)
        said = model_stats(versions, await asyncio.to_thread(self._statistics.figures))
        for row in said["model_stats"]:
            del row["response_stats"]  # a map that is empty, which is to say absent
        return MESSAGES["ModelStatisticsResponse"](**said)

    async def repository_model_load(self, given: Any, stream: Stream) -> Any:
        who = self._control.admit(_caller(stream), given.model_name)
        await self._control.load(given.model_name, _ordered(given), who=who)
        return MESSAGES["RepositoryModelLoadResponse"]()

    async def repository_model_unload(self, given: Any, stream: Stream) -> Any:
        who = self._control.admit(_caller(stream), given.model_name)
        await self._control.unload(given.model_name, _ordered(given), who=who)
        return MESSAGES["RepositoryModelUnloadResponse"]()


def _ordered(given: Any) -> int | None:
    """Return the version that an order names, None for the whole model."""
    parameters: Mapping[str, object] = {
        name: getattr(value, value.WhichOneof("parameter_choice") or "", None)
        for name, value in given.parameters.items()
    }
    return ordered_version(given.model_name, parameters)


def _caller(stream: Stream) -> Caller:
    """Return who calls. No page in a browser can speak plain gRPC, so there is no other host's name to refuse."""
    headers = {name: value.decode("latin-1") for name, value in stream.metadata if not name.endswith("-bin")}
    return Caller(stream.address, {**headers, "host": "localhost"})
