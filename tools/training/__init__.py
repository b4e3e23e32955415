"""How the shipped models are made: their data, their recipes and their files.

Needs the ``convert`` extra. Nothing here runs while the gateway serves.
"""
