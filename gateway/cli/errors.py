"""How a command ends when it does not end well. The message is one plain sentence that says what to do."""

from __future__ import annotations


class CommandFailed(Exception):
    """Refused or failed: exit code 1."""


class CommandMisused(Exception):
    """Called in a way that cannot be meant: exit code 2."""


class CommandUndecided(Exception):
    """What was to be compared could not be: exit code 3, which is neither "the same" nor "it differs"."""
