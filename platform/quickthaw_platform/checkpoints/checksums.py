"""The checksums of a checkpoint's chunks. Engines read them, so this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import xxhash
from blake3 import blake3

Content = bytes | bytearray | memoryview

NEW_ALGORITHM = "blake3"
"""How the checksums of what is imported now are computed."""


class Hasher(Protocol):
    """Computes a checksum piece by piece."""

    def update(self, data: Content, /) -> object:
        """Take in the next bytes."""

    def hexdigest(self) -> str:
        """Return the checksum of all so far, in hexadecimal."""


HASHERS: Mapping[str, Callable[[Content], Hasher]] = {"blake3": blake3, "xxh3": xxhash.xxh3_64}
"""BLAKE3 of 256 bits, and, in older manifests, XXH3 of 64 bits, which finds every accident and no attack."""


def checksum(chunk: Content, algorithm: str) -> str:
    """Return the checksum of a chunk, in hexadecimal."""
    return HASHERS[algorithm](chunk).hexdigest()


def known_algorithm(name: str) -> str:
    """Return the name. Raises ValueError, naming it, where it is not one of HASHERS."""
    if name not in HASHERS:
        raise ValueError(
            f"checksums by {name!r} are not known here, only by {' and '.join(HASHERS)}; a newer quickthaw may"
        )
    return name
