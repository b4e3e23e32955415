"""Builds the process that tries model files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.engine.onnx import OnnxEngine, runtime_name
from gateway.models.memory import for_models
from gateway.verification.findings import Findings
from gateway.verification.probe import Bounds
from gateway.verification.verifier import LocalVerifier

if TYPE_CHECKING:
    from gateway.processes.start import Start
    from gateway.settings import Settings


def memory_of_a_worker(settings: Settings) -> int:
    """Return the bytes that the models of one worker may take together, 0 where nothing bounds them."""
    return (settings.model_memory or for_models()) // settings.workers


def build_verifier(start: Start) -> LocalVerifier:
    """Return who tries model files for the workers of this gateway."""
    findings = Findings(start.settings.state_dir / "findings", runtime_name())
    findings.prune()
    return LocalVerifier(OnnxEngine(), findings, Bounds(memory_bytes=memory_of_a_worker(start.settings)))
