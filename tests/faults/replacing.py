"""Breaks a gateway: what a class or a module holds is replaced in the process that asks for it, for good."""

from __future__ import annotations


def replace(where: object, name: str, by: object) -> None:
    """Let *where*, a class or a module, hold *by* under *name*, whatever types and ``Final`` say of it.

    Raises AttributeError where it holds nothing of that name: it was renamed, and the break would break nothing.
    """
    getattr(where, name)
    setattr(where, name, by)
