"""Versions and their weights, as a document writes them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, shown, step_of
from gateway.core.names import version_number

NumberT = TypeVar("NumberT", int, float)

MAX_VERSIONS: Final = 255
MAX_WEIGHT: Final = 1_000_000_000


def parse_weights(data: object) -> dict[int, int]:
    """Return version → weight, ascending, from what a change of weights brings, under the rules of a split."""
    with at("weights"):
        return dict(weights_of(data))


def version_of(data: object) -> int:
    text = shown(data) if type(data) is int else data
    number = version_number(text) if isinstance(text, str) else None
    if number is None:
        raise InvalidDocument("", f"{shown(data)} is no version; write a number from 1 without leading zeros")
    return number


def weights_of(data: object) -> Mapping[int, int]:
    """Return *data* as an immutable mapping version → weight, ascending by version."""
    weights = _numbers(data, MAX_WEIGHT, "weight")
    if not any(weights.values()):
        raise InvalidDocument("", "nobody is left to answer; give at least one version a weight above 0")
    return weights


def percents_of(data: object) -> Mapping[int, int]:
    """Return *data* as an immutable mapping version → whole percent, ascending by version; empty is fine."""
    return _numbers(data, 100, "percent")


def _numbers(data: object, most: int, what: str) -> Mapping[int, int]:
    if not isinstance(data, Mapping):
        raise InvalidDocument("", f'{shown(data)} maps no versions to weights; write such as {{"1": 95, "2": 5}}')
    if len(data) > MAX_VERSIONS:
        raise InvalidDocument("", f"{len(data)} versions are too many; name at most {MAX_VERSIONS}")
    weights: dict[int, int] = {}
    for key, weight in data.items():
        with at(step_of(key)):
            version = version_of(key)
            if version in weights:
                raise InvalidDocument("", "is written twice; write each version once")
            if type(weight) is not int or not 0 <= weight <= most:
                raise InvalidDocument("", f"{shown(weight)} is no {what}; write a whole number from 0 to {most}")
            weights[version] = weight
    return MappingProxyType(dict(sorted(weights.items())))


def written(split: Mapping[int, NumberT]) -> dict[str, NumberT]:
    return {str(version): weight for version, weight in split.items()}
