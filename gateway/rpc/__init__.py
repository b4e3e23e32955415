"""The inference port over gRPC: messages in, tensors checked against the signature, messages out. Decides nothing.

Imported in a worker only, after the fork: gRPC's core starts threads, which do not survive one.
"""
