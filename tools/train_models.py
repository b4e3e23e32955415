"""Make the shipped models again, or check that they are what their recipes give.

    python -m tools.train_models [--only NAME] [--check]

Needs the ``convert`` extra; takes seconds, and no network.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # latched when onnxruntime is first imported

from tools.training import data, export
from tools.training.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.training.recipes import Recipe

MODELS: Final = Path(__file__).resolve().parent.parent / "models"

LABELS_EQUAL: Final = 0.99
ACCURACY_DIFFERENCE: Final = 0.01
"""What --check allows: another processor adds in another order, and a network then ends a little elsewhere."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make or check the chosen models; return 1 if a check found a difference."""
    chosen = _parse(arguments)
    recipes = [recipe for recipe in RECIPES if chosen.only in (None, recipe.model)]
    if not chosen.check:
        for recipe in recipes:
            _make(recipe, MODELS)
        return 0
    with tempfile.TemporaryDirectory(prefix="models-") as fresh:
        differences = [difference for recipe in recipes for difference in _check(recipe, Path(fresh))]
    for difference in differences:
        print(f"DIFFERS: {difference}", file=sys.stderr)
    return 1 if differences else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.train_models", description=main.__doc__)
    parser.add_argument("--only", choices=data.NAMES, help="this model instead of all")
    parser.add_argument("--check", action="store_true", help="write nothing; compare new models with the shipped ones")
    return parser.parse_args(arguments)


def _make(recipe: Recipe, models: Path) -> dict[str, Any]:
    began = time.perf_counter()
    metadata = export.export(recipe, models)
    size = (export.directory(models, recipe) / "model.onnx").stat().st_size
    took = time.perf_counter() - began
    print(f"{recipe.name:16} accuracy {metadata['metrics']['accuracy']:.4f}  {size / 1024:6.1f} KiB  {took:5.1f} s")
    return metadata


def _check(recipe: Recipe, fresh: Path) -> list[str]:
    """Return in words how the shipped version differs from a new one made in *fresh*: predictions, data and metrics."""
    new = _make(recipe, fresh)
    old_files, new_files = export.directory(MODELS, recipe), export.directory(fresh, recipe)
    shipped = yaml.safe_load((old_files / "metadata.yaml").read_text(encoding="utf-8"))
    inputs, _ = data.held_out(recipe.model)
    found = export.agreement(*(export.predict(files / "model.onnx", inputs) for files in (old_files, new_files)))
    identical = "the same bytes" if shipped["sha256"] == new["sha256"] else f"other bytes, {found}"
    print(f"{recipe.name:16} {identical}")
    differences = [
        f"{recipe.name}: {key} is {shipped[key]}, the recipe gives {new[key]}"
        for key in ("training_data", "held_out", "parameters", "parents", "classes")
        if shipped[key] != new[key]
    ]
    if found["labels_equal"] < LABELS_EQUAL:
        differences.append(f"{recipe.name}: only {found['labels_equal']:.2%} of the labels are those of a new model")
    before, after = shipped["metrics"]["accuracy"], new["metrics"]["accuracy"]
    if abs(before - after) > ACCURACY_DIFFERENCE:
        differences.append(f"{recipe.name}: states an accuracy of {before}, a new model has {after}")
    return differences


if __name__ == "__main__":
    sys.exit(main())
