"""Random numbers by counter: the number for a position depends on nothing but the seed and the position."""

from __future__ import annotations

import hashlib
import struct

_MANTISSA_BITS = 53


def uniform(seed: int, position: int) -> float:
    """Return a number in (0, 1), the same on every machine: the keyed BLAKE2b digest of the position."""
    key = struct.pack("<Q", seed % (1 << 64))
    digest = hashlib.blake2b(struct.pack("<q", position), digest_size=8, key=key).digest()
    bits: int = struct.unpack("<Q", digest)[0] >> (64 - _MANTISSA_BITS)
    return (bits + 0.5) / (1 << _MANTISSA_BITS)
