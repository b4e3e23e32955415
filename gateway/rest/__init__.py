"""The inference port over HTTP: bytes in, tensors checked against the signature, bytes out. Decides nothing."""
