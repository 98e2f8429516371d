"""Who imported a checkpoint: each machine signs the manifests that it writes, with an Ed25519 key of its own."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.errors import CheckpointBroken

KEY_FILE = "importer.key"
"""In the data directory, for its owner alone: 32 bytes in hexadecimal."""

_PURPOSE = b"quickthaw manifest\0"
"""Stands before what is signed, so that no signature for another purpose is one of a manifest."""


class ImporterKey:
    """The key of the machine that imports."""

    def __init__(self, private: SigningKey) -> None:
        self._private = private
        self.public = private.verify_key.encode().hex()

    @classmethod
    def load(cls, folder: Path) -> ImporterKey | None:
        """Return the key in a data directory; None where nothing was imported there yet."""
        try:
            text = (folder / KEY_FILE).read_text()
        except FileNotFoundError:
            return None
        return cls(SigningKey(bytes.fromhex(text.strip())))

    @classmethod
    def load_or_make(cls, folder: Path) -> ImporterKey:
        """Return the key in a data directory, made there once however many ask for it at the same time."""
        if (found := cls.load(folder)) is not None:
            return found
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{KEY_FILE}-", dir=folder)  # mode 0600
        try:
            with os.fdopen(handle, "w") as file:
                file.write(SigningKey.generate().encode().hex() + "\n")
                file.flush()
                os.fsync(handle)
            with contextlib.suppress(FileExistsError):
                os.link(name, folder / KEY_FILE)
        finally:
            Path(name).unlink()
        made = cls.load(folder)
        assert made is not None, "it was linked there, by this process or another"
        return made

    def sign(self, manifest: Manifest) -> Manifest:
        """Return the manifest with this key's signature."""
        named = manifest.model_copy(update={"signer": self.public})
        signature = self._private.sign(_PURPOSE + named.signed_text.encode()).signature.hex()
        return named.model_copy(update={"signature": signature})


def check_signature(manifest: Manifest, trusted: Collection[str], where: str) -> None:
    """Raise CheckpointBroken, saying `where` it lies, for a signature that is not its signer's; and where there are
    `trusted` public keys, for a manifest that none of them has signed.
    """
    if (manifest.signer is None) != (manifest.signature is None) or not _is_genuine(manifest):
        raise CheckpointBroken(f"{where}: the signature of {manifest.name!r} is not that of its contents")
    if trusted and manifest.signer not in trusted:
        by = "by nobody" if manifest.signer is None else f"by {manifest.signer}"
        raise CheckpointBroken(
            f"{where}: {manifest.name!r} is signed {by}, and QUICKTHAW_TRUSTED_IMPORTERS names others; add the key "
            "there if you trust it, or import the model here"
        )


def _is_genuine(manifest: Manifest) -> bool:
    if manifest.signer is None or manifest.signature is None:
        return True
    try:
        public = VerifyKey(bytes.fromhex(manifest.signer))
        public.verify(_PURPOSE + manifest.signed_text.encode(), bytes.fromhex(manifest.signature))
    except (CryptoError, ValueError):
        return False
    return True
