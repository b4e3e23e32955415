"""Hypothesis for the core: the same examples in every run, and nothing left in the tree."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
