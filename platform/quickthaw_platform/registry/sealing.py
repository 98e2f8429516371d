"""How secrets of functions are sealed: to a key pair of the platform whose private half only the nodes have.

Whoever sets a secret seals it with the public key, which stands in Redis; neither the gateway nor Redis can open it
afterwards. The private key lies in the data directory of each node (`sealing.key`, mode 0600). `quickthaw up` and
`quickthaw keys first` make and publish it; nodes with another data directory need a copy of the file. It holds a key a
line, the current one first and the one before behind it, so that what was sealed just before a rotation still opens.

A sealed text names the function and the secret that it is for: moved to another one it does not open.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NewType

from blake3 import blake3
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from quickthaw_platform.errors import StartFailed

KEY_FILE = "sealing.key"
KEPT_KEYS = 2
_MARK = "sealed:"
"""What every sealed text begins with. Secrets that older versions wrote are plain."""

SealingKey = NewType("SealingKey", str)
"""A public key in hexadecimal digits."""


def is_sealed(text: str) -> bool:
    """Whether a stored secret is sealed; one from before is plain."""
    return text.startswith(_MARK)


def seal(key: SealingKey, function: str, name: str, value: str) -> str:
    """Return a secret's value as it is stored: only the nodes can open it, for this function and this name."""
    box = SealedBox(PublicKey(bytes.fromhex(key)))
    return _MARK + base64.b64encode(box.encrypt("\0".join((function, name, value)).encode())).decode()


def public_key(private: PrivateKey) -> SealingKey:
    """Return the half of a key that everybody may know."""
    return SealingKey(bytes(private.public_key).hex())


class KeyFile:
    """The private keys of a node."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Sequence[PrivateKey]:
        """Return the keys, the current one first; none where there is no file."""
        try:
            return [PrivateKey(bytes.fromhex(line)) for line in self.path.read_text().split()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise StartFailed(f"{self.path} cannot be read as keys of secrets: {error}") from error

    def make(self) -> Sequence[PrivateKey]:
        """Make the first key, unless another process of this data directory just did; return what is there."""
        return self.read() or self._written([PrivateKey.generate()], replace=False)

    def rotate(self) -> Sequence[PrivateKey]:
        """Make a new current key and keep the one before; return what is there."""
        return self._written([PrivateKey.generate(), *self.read()][:KEPT_KEYS], replace=True)

    def open(self, function: str, name: str, stored: str) -> str:
        """Return the value of a stored secret; StartFailed where no key here opens it."""
        if not is_sealed(stored):
            return stored
        for key in self.read():
            try:
                opened = SealedBox(key).decrypt(base64.b64decode(stored.removeprefix(_MARK), validate=True)).decode()
                of, called, value = opened.split("\0", 2)
            except (CryptoError, ValueError):  # the latter also of base64
                continue
            if (of, called) == (function, name):
                return value
        raise StartFailed(
            f"this node cannot open the secret {name}: it was sealed with a key that is not in {self.path}. Copy that "
            "file from a node that can, or set the secret again when all nodes have the same one"
        )

    def derived(self, purpose: str) -> Sequence[bytes]:
        """Return a secret of 32 bytes for another purpose, made of each key, in the same order; none without a file.

        All nodes that open the same secrets have it, and it tells nothing of the keys (BLAKE3's derivation).
        """
        return [blake3(bytes(key), derive_key_context=f"quickthaw {purpose}").digest() for key in self.read()]

    def _written(self, keys: Sequence[PrivateKey], *, replace: bool) -> Sequence[PrivateKey]:
        """Write the file whole or not at all. What is there counts, unless it is to be replaced."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{KEY_FILE}.{os.getpid()}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write("".join(f"{bytes(key).hex()}\n" for key in keys))
            if replace:
                draft.replace(self.path)
            else:
                os.link(draft, self.path)
        except FileExistsError:
            return self.read()
        finally:
            draft.unlink(missing_ok=True)
        return keys
