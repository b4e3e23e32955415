"""What is promised when things break, each promise under the real fault, beside a control that must fail.

    make test-faults

A run of minutes, with a table at its end: promise, fault, figure, threshold, kept or missed.
"""
