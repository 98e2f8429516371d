"""A node's tiers together: brings a checkpoint into memory from the nearest place that has it."""

from __future__ import annotations

import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import structlog

from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.reading.memory import MemoryPool
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers import write_behind
from quickthaw_platform.checkpoints.tiers.backup import Backup
from quickthaw_platform.checkpoints.tiers.bandwidth import Bandwidths
from quickthaw_platform.checkpoints.tiers.disk import DiskTier
from quickthaw_platform.checkpoints.tiers.memory import MemoryTier
from quickthaw_platform.checkpoints.tiers.origins import Beyond, OnDisk, Origin
from quickthaw_platform.checkpoints.tiers.prefixes import PURPOSE, PrefixFiles
from quickthaw_platform.checkpoints.tiers.resident import Resident, Tier
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import (
    CheckpointBroken,
    CheckpointNotFound,
    LoadCancelled,
    QuickthawError,
    RemoteError,
    StartFailed,
)
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.settings import Settings

WRITER = "write-behind"
TEMPLATE_END_SECONDS = 5.0
"""How long the templates of a checkpoint that is dropped get to end."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint that its user may map, and where its weights come from, as this user finds them."""

    checkpoint: Checkpoint
    tier: Tier
    completed_at: Callable[[], float | None]  # when all of them were there, by the monotonic clock; None: not yet
    fetched_bytes: int = 0  # what is read from that tier on this user's behalf; 0 where another's load serves it too


class NodeTiers:
    """Any thread may call. Each checkpoint is loaded once however many ask for it. Loads from the same tier come one
    after another: each gets the whole bandwidth, and the first is done soonest.
    """

    def __init__(
        self,
        settings: Settings,
        store: DiskStore,
        remote: RemoteCheckpoints | None,
        *,
        drop_templates: Callable[[str], None],
        on_failed: Callable[[str, QuickthawError], None],
        on_change: Callable[[], None],
    ) -> None:
        """`drop_templates` takes the id of a checkpoint whose templates must go, because its room is wanted;
        `on_failed` that of one whose load failed, so that whatever maps it must go; `on_change` hears that tiers hold
        something else.
        """
        self._settings = settings
        self._store = store
        self._remote = remote
        self._drop_templates = drop_templates
        self._on_failed = on_failed
        self._on_change = on_change
        self._remote_ids: frozenset[str] = frozenset()
        self._keys = KeyFile(settings.data_dir / KEY_FILE)
        self.bandwidths = Bandwidths()
        self.pool = MemoryPool()
        self.memory = MemoryTier(settings.dram_budget, self.pool, drop_templates)
        self.disk = DiskTier(
            store, settings.disk_budget, self.elsewhere, lambda size: self.bandwidths.seconds("remote", size)
        )
        self.prefixes = PrefixFiles(
            settings.data_dir / "prefixes",
            settings.prefix_disk_budget,
            None if remote is None else remote.store,
            self.elsewhere,
            settings.node,
            self._prefix_secrets,
        )
        self._arriving = settings.data_dir / "arriving" / settings.node
        self._closing = threading.Event()
        self._guard = threading.Lock()
        self._setting_up: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lanes = {
            lane: ThreadPoolExecutor(1, thread_name_prefix=f"load-{lane}")
            for lane in ("dram", "disk", "remote", WRITER)
        }
        shutil.rmtree(self._arriving, ignore_errors=True)  # of a predecessor that was killed

    def elsewhere(self, checkpoint_id: str) -> bool:
        """Whether the remote tier has a checkpoint, as far as this node knows."""
        return checkpoint_id in self._remote_ids

    def _prefix_secrets(self) -> Sequence[bytes]:
        try:
            return self._keys.derived(PURPOSE)
        except StartFailed:  # the worker has said at its start that it cannot read them
            return ()

    def note_remote(self, checkpoint_ids: frozenset[str]) -> None:
        """Take in what the remote tier has."""
        self._remote_ids = checkpoint_ids

    def acquire(self, checkpoint_id: str, user: str, patience_seconds: float) -> Held:
        """Have a checkpoint in memory or on its way there, for `user`; `release` ends that.

        Blocks until its configuration is there and its weights have room. Raises StartFailed with the cause, and
        CheckpointNotFound where no tier has it.
        """
        with self._guard:
            one_at_a_time = self._setting_up[checkpoint_id]
        with one_at_a_time:
            resident = self.memory.join(checkpoint_id, user)
            if resident is not None:
                return _held(resident, "dram" if resident.complete else resident.tier)
            try:
                resident = self._bring(checkpoint_id, user, patience_seconds)
            except RemoteError as error:
                raise StartFailed(error.message) from error
            read = 0 if resident.tier == "dram" else resident.manifest.weights_bytes
            return replace(_held(resident, resident.tier), fetched_bytes=read)

    def release(self, name: str) -> None:
        """End what a user or template holds; idempotent."""
        self.memory.release(name)

    def pull(self, checkpoint_id: str) -> None:
        """Bring a checkpoint into memory, and onto the disk if it has room there. Blocks; raises what `acquire` does,
        and the cause of a load that fails.
        """
        user = f"pull-{threading.get_ident()}"
        self.acquire(checkpoint_id, user, self._settings.drain_timeout)
        try:
            resident = self.memory.find(checkpoint_id)
            done = None
            while resident is not None and (work := resident.work) not in (None, done):
                work.result()  # of the load, and then of the writing behind it
                done = work
        finally:
            self.release(user)

    def evict(self, checkpoint_id: str, tier: Tier) -> None:
        """Drop a checkpoint from memory, or (`disk`) from memory and disk; instances that run keep on.

        Conflict where the disk has the only copy, or the checkpoint is in use there.
        """
        resident = self._drop_from_memory(checkpoint_id)
        if resident is not None:
            self.memory.wait_until_free(resident, TEMPLATE_END_SECONDS)
        try:
            if tier == "disk":
                self.disk.evict(checkpoint_id)
        finally:
            self._on_change()

    def forget(self, checkpoint_id: str) -> None:
        """Delete a checkpoint from every tier that this node reaches; instances that run keep on."""
        self._drop_from_memory(checkpoint_id)
        self._store.remove(checkpoint_id)
        if self._remote is not None:
            self._remote_ids -= {checkpoint_id}
            self._remote.remove(checkpoint_id)
        self.prefixes.forget(checkpoint_id)
        self._on_change()

    def close(self) -> None:
        """Stop what loads and let everything go. Idempotent."""
        self._closing.set()
        self.memory.stop()
        for lane in self._lanes.values():
            lane.shutdown(cancel_futures=True)
        self.memory.close()
        if self._remote is not None:
            self._remote.close()
        shutil.rmtree(self._arriving, ignore_errors=True)

    def _drop_from_memory(self, checkpoint_id: str) -> Resident | None:
        resident = self.memory.find(checkpoint_id)
        if resident is not None:
            self.memory.forget(resident)
            self._drop_templates(checkpoint_id)
        return resident

    def _bring(self, checkpoint_id: str, user: str, patience_seconds: float) -> Resident:
        origin = self._origin(checkpoint_id)
        self.memory.make_room(origin.manifest, patience_seconds)
        try:
            resident = origin.prepare()
        except BaseException:
            self.memory.take_back(origin.manifest)
            raise
        self.memory.admit(resident, user)
        resident.work = self._lanes[resident.tier].submit(self._load, resident)
        return resident

    def _origin(self, checkpoint_id: str) -> Origin:
        settings = self._settings
        local = self._local(checkpoint_id)
        if local is not None:
            manifest = Manifest.of(local)
            remote = self._remote if self.elsewhere(checkpoint_id) else None
            backup = None if remote is None else Backup(lambda: remote.source(manifest))
            return OnDisk(local, manifest, self.pool, backup, settings.load_threads, settings.disk_bandwidth)
        if self._remote is None:
            raise CheckpointNotFound(
                f"checkpoint {checkpoint_id} is not on the disk of node {settings.node}, which has no remote tier "
                "(QUICKTHAW_REMOTE); `quickthaw models import` brings it there"
            )
        return Beyond(
            self._remote.manifest(checkpoint_id),
            self._remote,
            self._arriving / checkpoint_id,
            self.pool,
            settings.load_threads,
            settings.remote_bandwidth,
            self._closing.is_set,
        )

    def _local(self, checkpoint_id: str) -> Checkpoint | None:
        try:
            found = self._store.find(checkpoint_id)
        except CheckpointNotFound:
            return None
        except CheckpointBroken as error:
            if not self.elsewhere(checkpoint_id):
                raise StartFailed(error.message) from error
            _log.warning("a broken checkpoint is fetched again", checkpoint=checkpoint_id, error=error.message)
            self._store.remove(checkpoint_id)
            return None
        self.disk.use(found)
        return found

    def _load(self, resident: Resident) -> None:
        """Run a load, in its lane's thread; who waits for the weights hears of its failure by the arrival."""
        assert resident.load is not None, "origins prepare residents with a load"
        try:
            report = resident.load.run()
        except Exception as error:
            given_up = self.memory.find(resident.manifest.id) is not resident  # its memory went while it loaded
            self.memory.forget(resident)
            if not given_up and not isinstance(error, LoadCancelled):
                cause = _cause(error)
                _log.error("a checkpoint does not load", checkpoint=resident.manifest.name, error=cause.message)
                self._on_failed(resident.manifest.id, cause)
            raise
        self.memory.completed(resident)
        self.bandwidths.note(resident.tier, report.bytes, report.seconds)
        self._on_change()
        if resident.tier == "remote" and self.memory.join(resident.manifest.id, _writer_of(resident)) is resident:
            resident.work = self._lanes[WRITER].submit(self._write, resident)

    def _write(self, resident: Resident) -> None:
        try:
            self.disk.make_room(resident.manifest)
            self.disk.use(write_behind.publish(self._store, resident, self._closing.is_set))
        except (StartFailed, OSError) as error:
            _log.warning("a checkpoint stays in memory only", checkpoint=resident.manifest.name, error=str(error))
        finally:
            self.release(_writer_of(resident))
        self._on_change()


def _held(resident: Resident, tier: Tier) -> Held:
    return Held(resident.checkpoint(), tier, lambda: resident.completed_at)


def _cause(error: Exception) -> QuickthawError:
    """Return what is told of a load's failure: also a disk that fails, or a fault of ours, ends those that wait."""
    if isinstance(error, QuickthawError):
        return error
    return StartFailed(f"the load failed: {type(error).__name__}: {error}")


def _writer_of(resident: Resident) -> str:
    return f"{WRITER} {resident.manifest.id}"
