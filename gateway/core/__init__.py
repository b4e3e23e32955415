"""The still centre: what the gateway decides, as values in and values out.

Imports the standard library and itself. It never awaits, logs, reads a clock, draws a
random number or touches a file; whoever calls it brings those as arguments.
"""
