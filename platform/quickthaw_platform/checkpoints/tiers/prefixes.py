"""Files of keys and values: what engines computed of the beginnings of prompts, on the disk and beyond.

Beside each file lies its checksum, written last: a file without one, or with another, counts as nothing. The checksum
is keyed (BLAKE3) with a secret that the nodes of a platform share and the remote tier does not know, and covers the
file's place too: so whoever writes to the remote tier can neither make a file nor put one in another's place. What a
file means is the engine's affair.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import structlog
from blake3 import blake3

from quickthaw_platform.contracts import RemoteStore
from quickthaw_platform.errors import CheckpointBroken, RemoteError, RemoteMissing

FOLDER = "prefixes"
CHECKSUM = ".blake3"
OLD_CHECKSUM = ".xxh3"
"""Beside files of older releases, which count as nothing."""

PURPOSE = "checksums of keys and values"
"""What the secret is derived for; see KeyFile.derived."""

READ_BYTES = 8 << 20
MAX_CHECKSUM_BYTES = 64

_NO_SECRET = bytes(32)
"""Keys the checksums on the disk of a node that shares no secret with others: they find accidents."""

_log = structlog.get_logger()


class PrefixFiles:
    """One folder a checkpoint. Any thread may call, and any number of agents may use one folder: files of one name are
    alike, and each is put in place whole. What was not used for longest goes when they are more than the budget.
    """

    def __init__(
        self,
        root: Path,
        budget_bytes: int,
        remote: RemoteStore | None,
        elsewhere: Callable[[str], bool],
        node: str,
        secrets: Callable[[], Sequence[bytes]] = tuple,
    ) -> None:
        """`elsewhere` says whether the remote tier has a checkpoint: files are put there beside it.

        `secrets` reads those of 32 bytes that the platform's nodes share, the current one first; without any nothing is
        exchanged with the remote tier. What a predecessor of this node's agent has not shared is deleted: nobody knows
        whose it was.
        """
        self._root = root
        self._budget_bytes = budget_bytes
        self._remote = remote
        self._elsewhere = elsewhere
        self._secrets = secrets
        self._refused: set[str] = set()  # keys in the remote tier of what is not genuine there
        self._own = f"{node}-"
        for path in self._root.glob("*/*"):
            if path.name.startswith(self._own) or path.suffix == OLD_CHECKSUM:
                path.unlink(missing_ok=True)

    def name(self, engine: str, digest: str, *, shared: bool) -> str:
        """Return how a file is called: one that is not shared has its node's name."""
        return f"{'' if shared else self._own}{engine}-{digest}.kv"

    def obtain(self, checkpoint_id: str, name: str, *, shared: bool) -> Path:
        """Return where a file is, whole, or is to be written. A shared one that is not here is fetched.

        Blocks. What is wrong with the remote tier is logged: to compute it here is always possible.
        """
        path = self._root / checkpoint_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and self._is_whole(path):
            os.utime(path)
            return path
        _remove(path)
        if shared and self._remote is not None and self._elsewhere(checkpoint_id) and self._secrets():
            try:
                self._fetch(self._remote, checkpoint_id, path)
            except RemoteMissing:
                return path
            except CheckpointBroken as error:
                self._refuse(f"{checkpoint_id}/{name}", error)
            except RemoteError as error:
                _log.warning("a prefix file is not fetched", file=name, error=error.message)
        return path

    def keep(self, checkpoint_id: str, name: str, *, shared: bool) -> None:
        """Take in a file that an engine has written: checksum, remote tier, budget. Blocks."""
        path, secrets = self._root / checkpoint_id / name, self._secrets()
        try:
            checksum = _checksum(path, _place(path), secrets[0] if secrets else _NO_SECRET)
        except FileNotFoundError:
            return  # the checkpoint was forgotten meanwhile
        _write(_beside(path), checksum.encode())
        if shared and self._remote is not None and self._elsewhere(checkpoint_id) and secrets:
            try:
                self._push(self._remote, checkpoint_id, path)
            except RemoteError as error:
                _log.warning("a prefix file is not pushed", file=name, error=error.message)
        self._make_room()

    def remove(self, checkpoint_id: str, name: str) -> None:
        """Delete a file on this disk; one that is not there is ignored."""
        _remove(self._root / checkpoint_id / name)

    def forget(self, checkpoint_id: str) -> None:
        """Delete all of a checkpoint's on this disk. Those beyond are deleted with the checkpoint."""
        shutil.rmtree(self._root / checkpoint_id, ignore_errors=True)

    def _is_whole(self, path: Path) -> bool:
        try:
            return self._is_genuine(path, _place(path), _beside(path).read_bytes())
        except OSError:
            return False

    def _is_genuine(self, file: Path, place: str, told: bytes) -> bool:
        """Whether a node of this platform has written what is in a file, for this place: `told` is its checksum."""
        secrets = self._secrets() or (_NO_SECRET,)
        return any(hmac.compare_digest(told, _checksum(file, place, secret).encode()) for secret in secrets)

    def _refuse(self, file: str, error: CheckpointBroken) -> None:
        if file not in self._refused:
            self._refused.add(file)
            _log.warning("a prefix file is not taken from the remote tier", file=file, error=error.message)

    def _fetch(self, remote: RemoteStore, checkpoint_id: str, path: Path) -> None:
        key = f"{checkpoint_id}/{FOLDER}/{path.name}"
        told = remote.head(key + CHECKSUM)
        if told.bytes > MAX_CHECKSUM_BYTES:
            raise CheckpointBroken(f"{remote.url}/{told.key} is no checksum")
        checksum = bytearray(told.bytes)
        remote.get_range(told, 0, memoryview(checksum), _never)
        found = remote.head(key)
        if found.bytes > self._budget_bytes:
            return
        with _partial(path) as partial:
            with partial.open("wb") as file:
                for begin in range(0, found.bytes, READ_BYTES):
                    block = bytearray(min(READ_BYTES, found.bytes - begin))
                    remote.get_range(found, begin, memoryview(block), _never)
                    file.write(block)
            if not self._is_genuine(partial, _place(path), bytes(checksum)):
                raise CheckpointBroken(f"{remote.url}/{key} does not have the checksum that this platform gives it")
            partial.replace(path)
        _write(_beside(path), bytes(checksum))
        self._make_room()

    def _push(self, remote: RemoteStore, checkpoint_id: str, path: Path) -> None:
        key = f"{checkpoint_id}/{FOLDER}/{path.name}"
        with contextlib.suppress(FileNotFoundError):  # the checkpoint is being forgotten
            remote.put(key, path)
            remote.put(key + CHECKSUM, _beside(path))
        if not self._elsewhere(checkpoint_id):
            for left in remote.list(f"{checkpoint_id}/{FOLDER}/"):
                remote.delete(left.key)

    def _make_room(self) -> None:
        """Delete files until the rest is within the budget; those that go are the ones not used for longest."""
        files = sorted(self._files(), key=lambda found: found[0])
        over = sum(size for _, size, _ in files) - self._budget_bytes
        for _, size, path in files:
            if over <= 0:
                return
            _remove(path)
            over -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._root.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                if not path.name.endswith(CHECKSUM) and not path.name.startswith("."):
                    stat = path.stat()
                    yield stat.st_mtime, stat.st_size, path


def _never() -> bool:
    return False


def _beside(path: Path) -> Path:
    return path.with_name(path.name + CHECKSUM)


def _place(path: Path) -> str:
    """Return what a file is of: its checkpoint and its name."""
    return f"{path.parent.name}/{path.name}"


def _checksum(file: Path, place: str, secret: bytes) -> str:
    """Return the keyed BLAKE3 (256 bits, hex) of a place and what is in a file."""
    digest = blake3(f"{place}\0".encode(), key=secret)
    with file.open("rb") as opened:
        while block := opened.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """Give a name beside the file to write to; what is left under it is deleted."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with _partial(path) as partial:
        partial.write_bytes(content)
        partial.replace(path)


def _remove(path: Path) -> None:
    """The checksum goes first: without it the file is nothing."""
    _beside(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
