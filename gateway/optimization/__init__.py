"""Smaller or faster versions made of a version: rounded, pruned or rewritten, measured beside it, published.

Runs in the command line, never in a server. A graph is rewritten in a confined process and asked in another one.
"""
