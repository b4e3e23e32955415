"""What the middle of the house needs of its edges. Protocols and the values they exchange, nothing else.

``core`` decides, ``serving`` and ``models`` act through these, and ``store``, ``engine`` and
``telemetry`` implement them. One contract suite under ``tests/contracts/`` runs over every
implementation of a port.
"""
