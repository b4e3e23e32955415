"""How good each version of a model is on rows whose answers are known, and whether that is good enough.

Runs in the command line, never in a server. A version is asked in a confined process of its own, so that one that
hangs, crashes or eats memory is a sentence about that version and nothing more.
"""
