"""The trace of a step: a digest that two executions share only if they agreed bit for bit."""

import hashlib
import struct


def trace_sha256(loss: float | None, grad_norm: float | None, state: bytes) -> bytes:
    """Over the loss and the gradient norm as little-endian float64, those that are given, and the state."""
    given = [value for value in (loss, grad_norm) if value is not None]
    return hashlib.sha256(struct.pack(f"<{len(given)}d", *given) + state).digest()
