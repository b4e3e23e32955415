"""The inference port over gRPC: messages in, tensors checked against the signature, messages out. Decides nothing.

Imported before the fork, and used after it only: gRPC's core starts threads with its first server, and a fork
loses threads.
"""
