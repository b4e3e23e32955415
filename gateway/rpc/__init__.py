"""The inference port over gRPC: messages in, tensors checked against the signature, messages out. Decides nothing.

HTTP/2 is spoken here too, as far as a server of gRPC needs it (docs/decisions/0017): ``frames``, ``heads`` and
``messages`` read and write, ``connection``, ``stream`` and ``outgoing`` keep the rules, ``service`` answers.
"""
