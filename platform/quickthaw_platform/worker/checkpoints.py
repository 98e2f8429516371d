"""The node's checkpoints on the agent's side: commands about them, and the rounds that keep the tiers in step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from redis import Redis

from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.remote.opening import open_store
from quickthaw_platform.checkpoints.signing import ImporterKey
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers.node import NodeTiers
from quickthaw_platform.checkpoints.tiers.resident import Tier
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import CheckpointBroken, CheckpointNotFound, QuickthawError, RemoteError
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.registry.catalogue import Catalogue, describe
from quickthaw_platform.registry.remote_index import RemoteIndex
from quickthaw_platform.settings import Settings

COMMANDS_AT_ONCE = 4

_log = structlog.get_logger()


class NodeCheckpoints:
    """Owner of the node's tiers. Commands return at once and may be repeated; what goes wrong in one is logged."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        *,
        drop_templates: Callable[[str], None],
        on_failed: Callable[[str, QuickthawError], None],
        on_change: Callable[[], None],
    ) -> None:
        """`drop_templates` and `on_failed` take a checkpoint's id; see `NodeTiers`."""
        self._settings = settings
        self._on_change = on_change
        self.disk = DiskStore(settings.checkpoints_dir)
        self._remote = None if settings.remote is None else _remote(settings.remote, settings)
        self.tiers = NodeTiers(
            settings,
            self.disk,
            self._remote,
            drop_templates=drop_templates,
            on_failed=on_failed,
            on_change=self._changed,
        )
        self._catalogue = Catalogue(redis)
        self._index = RemoteIndex(redis)
        self._wake = threading.Event()
        self.push_failures: dict[str, str] = {}  # checkpoint to why it is not in the remote tier; replaced as a whole
        self._refused: dict[str, str] = {}  # by id: what is wrong with it in the remote tier
        self._closing = threading.Event()
        self._work = ThreadPoolExecutor(COMMANDS_AT_ONCE, thread_name_prefix="agent-checkpoints")
        self._thread = threading.Thread(target=self._run, name="agent-tiers", daemon=True)

    def start(self) -> None:
        """Start the rounds: look at the remote tier, push what it lacks, have memory ready. Does not block."""
        self._thread.start()

    def look(self) -> None:
        """Make the next round now."""
        self._wake.set()

    def forget(self, checkpoint_id: str) -> None:
        """Delete a checkpoint from every tier that this node reaches. Instances that run keep on."""
        self._do("forget", checkpoint_id, self.tiers.forget)

    def pull(self, checkpoint_id: str) -> None:
        """Bring a checkpoint into memory, and onto the disk."""
        self._do("pull", checkpoint_id, self.tiers.pull)

    def evict(self, checkpoint_id: str, tier: Tier) -> None:
        """Drop a checkpoint from memory, or from memory and disk."""
        self._do("evict", checkpoint_id, lambda checkpoint: self.tiers.evict(checkpoint, tier))

    def close(self) -> None:
        """End the rounds and let all memory go. Idempotent."""
        self._closing.set()
        self._wake.set()
        self._work.shutdown(cancel_futures=True, wait=False)
        self.tiers.close()
        if self._thread.is_alive():
            self._thread.join()

    def _do(self, what: str, checkpoint_id: str, act: Callable[[str], None]) -> None:
        def work() -> None:
            try:
                act(checkpoint_id)
            except (QuickthawError, OSError) as error:
                _log.error(f"{what} failed", checkpoint=checkpoint_id, error=str(error))

        self._work.submit(work)

    def _changed(self) -> None:
        self._wake.set()
        self._on_change()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                self._round()
            except (QuickthawError, OSError) as error:
                _log.warning("the tiers are not in step", error=str(error))
            except Exception:  # noqa: BLE001 - one bad round must not end all later ones
                _log.exception("a round of the tiers failed")
            self._wake.wait(self._settings.remote_poll)

    def _round(self) -> None:
        local = self.disk.list()
        if self._remote is not None and self._settings.remote is not None:
            try:
                self._look(self._remote, self._settings.remote)
            except RemoteError as error:
                self._unreached(local, error)
            else:
                self._push(self._remote, self._settings.remote, local)
        largest = max((Manifest.of(c).weights_bytes for c in local), default=0)
        self.tiers.pool.prepare(min(self._settings.dram_ahead, largest), self._closing.is_set)

    def _look(self, remote: RemoteCheckpoints, url: str) -> None:
        ids = frozenset(remote.ids())
        self.tiers.note_remote(ids)
        with outage_is_unavailable():
            self._index.replace(url, ids)
            known = {entry.id for entry in self._catalogue.list()}
        new = [describe(manifest) for manifest in self._read(remote, sorted(ids - known))]
        with outage_is_unavailable():
            self._catalogue.announce(new)

    def _read(self, remote: RemoteCheckpoints, ids: Iterable[str]) -> Iterator[Manifest]:
        """Give the manifests that are right; one that is not keeps nobody from the others, and is logged once."""
        for checkpoint_id in ids:
            try:
                yield remote.manifest(checkpoint_id)
            except (CheckpointBroken, CheckpointNotFound) as error:
                if self._refused.get(checkpoint_id) != error.message:
                    self._refused[checkpoint_id] = error.message
                    _log.error("a checkpoint of the remote tier is not taken", error=error.message)

    def _unreached(self, local: Sequence[Checkpoint], error: RemoteError) -> None:
        """The remote tier cannot even be asked what it has: what only this disk has is not pushed for that reason."""
        _log.warning("the remote tier is out of reach", error=str(error))
        lacking = (checkpoint.id for checkpoint in local if not self.tiers.elsewhere(checkpoint.id))
        self.push_failures = dict.fromkeys(lacking, str(error))

    def _push(self, remote: RemoteCheckpoints, url: str, local: Sequence[Checkpoint]) -> None:
        """Copy what only this disk has, so that it is safe and every node can fetch it."""
        lacking = {checkpoint.id for checkpoint in local if not self.tiers.elsewhere(checkpoint.id)}
        self.push_failures = {known: why for known, why in self.push_failures.items() if known in lacking}
        for checkpoint in local:
            if self._closing.is_set() or self.tiers.elsewhere(checkpoint.id):
                continue
            others = {known: why for known, why in self.push_failures.items() if known != checkpoint.id}
            try:
                remote.push(checkpoint, lambda _done, _total: None, self._closing.is_set)
            except RemoteError as error:  # the next round tries again; meanwhile this disk has the only copy
                self.push_failures = {**others, checkpoint.id: str(error)}
                _log.error("checkpoint not pushed", name=checkpoint.manifest["name"], error=str(error))
                continue
            self.push_failures = others
            self.tiers.note_remote(frozenset(remote.ids()))
            with outage_is_unavailable():
                self._index.add(url, checkpoint.id)
            _log.info("checkpoint pushed", checkpoint=checkpoint.id, name=checkpoint.manifest["name"])


def _remote(url: str, settings: Settings) -> RemoteCheckpoints:
    """Return the remote tier; where importers are named, it takes their checkpoints and this machine's own alone."""
    own = ImporterKey.load(settings.data_dir) if settings.trusted_importers else None
    return RemoteCheckpoints(open_store(url), (*settings.trusted_importers, *([own.public] if own else ())))
