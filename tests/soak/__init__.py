"""Hours in minutes: mixed traffic over every protocol beside a rota of faults, with everything counted and weighed.

    make soak MINUTES=30

Not a test of a function but a run: it prints a line each ten seconds and a table of what was promised at the end.
"""
