"""The memory tier of a node: which checkpoints are in it, who uses them, and room for more within its budget."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.reading.memory import Block, MemoryPool
from quickthaw_platform.checkpoints.tiers.eviction import choose_victims
from quickthaw_platform.checkpoints.tiers.resident import Resident
from quickthaw_platform.errors import StartFailed

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """A snapshot: ids of what is whole in memory (also of what was dropped, while somebody maps it), and bytes still to
    come of what is on its way.
    """

    present: frozenset[str]
    arriving: dict[str, int]
    used_bytes: int


class MemoryTier:
    """One copy of each checkpoint for all that serve it. Any thread may call; `on_pressure` is told whose templates
    are to go, from the calling thread and without a lock held.
    """

    def __init__(self, budget_bytes: int, pool: MemoryPool, on_pressure: Callable[[str], None]) -> None:
        self.budget_bytes = budget_bytes
        self.pool = pool
        self._on_pressure = on_pressure
        self._changed = threading.Condition()  # guards all that follows
        self._residents: dict[str, Resident] = {}
        self._orphans: list[Resident] = []  # failed or replaced, with users left
        self._promised = 0  # bytes of room that was made and not yet taken
        self._inflation = 0.0
        self._closed = False

    def join(self, checkpoint_id: str, user: str) -> Resident | None:
        """Use what is in memory or on its way; None where it is neither."""
        with self._changed:
            resident = self._residents.get(checkpoint_id)
            if resident is not None:
                resident.users.add(user)
                resident.cached = resident.cached.used(self._inflation)
            return resident

    def keep_for_template(self, checkpoint_id: str, template: str) -> None:
        """Note a template that maps a checkpoint somebody uses. It goes, with its template, before others wait."""
        with self._changed:
            resident = self._residents.get(checkpoint_id)
            if resident is not None:
                resident.templates.add(template)

    def release(self, name: str) -> None:
        """End what a user or template holds; idempotent. What nobody uses stays until its room is wanted."""
        with self._changed:
            for resident in (*self._residents.values(), *self._orphans):
                resident.users.discard(name)
                resident.templates.discard(name)
            for orphan in [r for r in self._orphans if not r.held]:
                self._orphans.remove(orphan)
                self._free(orphan)
            self._changed.notify_all()

    def make_room(self, manifest: Manifest, patience_seconds: float) -> None:
        """Return when the weights of a checkpoint fit; `admit` or `take_back` what was promised then.

        Raises StartFailed where they never fit, or where what is in use leaves no room within the patience.
        """
        wanted = manifest.weights_bytes
        if wanted > self.budget_bytes:
            raise StartFailed(
                f"checkpoint {manifest.name!r} takes {wanted / MB:,.0f} MB of memory and this node's dram_budget is "
                f"{self.budget_bytes / MB:,.0f} MB; raise QUICKTHAW_DRAM_BUDGET on the node"
            )
        deadline = time.monotonic() + patience_seconds
        while not (told := self._try_room(wanted)).done:
            for checkpoint_id in told.pressed:
                self._on_pressure(checkpoint_id)
            with self._changed:
                if time.monotonic() > deadline:
                    raise StartFailed(self._no_room(manifest))
                self._changed.wait(min(1.0, max(0.0, deadline - time.monotonic())))

    def admit(self, resident: Resident, user: str) -> None:
        """Enter a checkpoint whose room was made, with its first user."""
        with self._changed:
            self._promised -= resident.manifest.weights_bytes
            resident.users.add(user)
            resident.cached = resident.cached.used(self._inflation)
            self._residents[resident.manifest.id] = resident
        self.pool.trim(self.budget_bytes)

    def take_back(self, manifest: Manifest) -> None:
        """Give up room that was made for a checkpoint."""
        with self._changed:
            self._promised -= manifest.weights_bytes
            self._changed.notify_all()

    def completed(self, resident: Resident) -> None:
        """Note that everything has arrived."""
        with self._changed:
            resident.complete = True
            resident.completed_at = time.monotonic()
            self._changed.notify_all()

    def forget(self, resident: Resident) -> None:
        """Have nobody join it from now on; its memory is free when its users and templates are gone. Idempotent."""
        with self._changed:
            if self._residents.get(resident.manifest.id) is resident:
                del self._residents[resident.manifest.id]
                if resident.held:
                    self._orphans.append(resident)
                else:
                    self._free(resident)
                self._changed.notify_all()

    def wait_until_free(self, resident: Resident, patience_seconds: float) -> bool:
        """Wait until a forgotten checkpoint has nobody left that maps it; False where somebody still does."""
        with self._changed:
            return self._changed.wait_for(lambda: resident not in self._orphans, patience_seconds)

    def find(self, checkpoint_id: str) -> Resident | None:
        """Return what is in memory or on its way, without using it."""
        with self._changed:
            return self._residents.get(checkpoint_id)

    def status(self) -> MemoryStatus:
        """Return a snapshot."""
        with self._changed:
            everything = (*self._residents.values(), *self._orphans)
            arriving = {r.manifest.id: r.bytes_left for r in self._residents.values() if not r.complete}
            return MemoryStatus(
                present=frozenset(r.manifest.id for r in everything if r.complete) - arriving.keys(),
                arriving=arriving,
                used_bytes=self._used(),
            )

    def stop(self) -> None:
        """Stop what is on its way; who waits for room fails."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for resident in self._residents.values():
                if resident.load is not None:
                    resident.load.cancel()

    def close(self) -> None:
        """Let everything go, whoever uses it: processes that map it keep their mappings."""
        with self._changed:
            for resident in (*self._residents.values(), *self._orphans):
                self._free(resident)
            self._residents.clear()
            self._orphans.clear()
        self.pool.close()

    def _try_room(self, wanted: int) -> _Told:
        with self._changed:
            if self._closed:
                raise StartFailed("the node is shutting down")
            lacking = self._used() + wanted - self.budget_bytes
            unheld = [r for r in self._residents.values() if not r.held]
            eviction = choose_victims((r.cached for r in unheld), lacking, self._inflation)
            if eviction is not None:
                for checkpoint_id in eviction.victims:
                    self._free(self._residents.pop(checkpoint_id))
                self._inflation = eviction.inflation
                self._promised += wanted
                return _Told(done=True)
            unused = (r.cached for r in self._residents.values() if not r.users)
            pressed = choose_victims(unused, lacking, self._inflation)
            return _Told(done=False, pressed=() if pressed is None else pressed.victims)

    def _used(self) -> int:
        everything = (*self._residents.values(), *self._orphans)
        return self._promised + sum(r.manifest.weights_bytes for r in everything)

    def _no_room(self, manifest: Manifest) -> str:
        names = sorted(r.manifest.name for r in (*self._residents.values(), *self._orphans) if r.users)
        return (
            f"no room for the {manifest.weights_bytes / MB:,.0f} MB of checkpoint {manifest.name!r} in the node's "
            f"dram_budget of {self.budget_bytes / MB:,.0f} MB: {', '.join(names) or 'others'} are in use; wait for "
            "their instances to end, or raise QUICKTHAW_DRAM_BUDGET"
        )

    def _free(self, resident: Resident) -> None:
        resident.arrival.close()
        give_back(self.pool, resident.blocks)
        if not resident.blocks:
            _drop_cache(resident)
        resident.let_go()


@dataclass(frozen=True, slots=True)
class _Told:
    """Whether there is room; if not, whose templates make room when they go."""

    done: bool
    pressed: tuple[str, ...] = ()


def take_blocks(pool: MemoryPool, manifest: Manifest) -> tuple[Block, ...]:
    """Take a block for each weights file; OSError, with nothing taken, where the kernel gives no more memory."""
    taken: list[Block] = []
    try:
        for file in manifest.weights:
            taken.append(pool.take(file.bytes))
    except OSError:
        give_back(pool, taken)
        raise
    return tuple(taken)


def give_back(pool: MemoryPool, blocks: Iterable[Block]) -> None:
    """Give blocks back that nobody maps any more."""
    for block in blocks:
        pool.give_back(block)


def _drop_cache(resident: Resident) -> None:
    """Have the kernel forget the files' pages; it keeps those that another process maps."""
    for file in resident.manifest.weights:
        path = resident.path / file.path
        if path.exists():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)
