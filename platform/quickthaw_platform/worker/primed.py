"""The node's primed templates, as the agent sees them: forks of templates that have read a prompt's beginning."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from concurrent.futures import Executor, ThreadPoolExecutor

import structlog

from quickthaw.errors import NotServable, QuickthawError, from_json
from quickthaw_platform.checkpoints.tiers.prefixes import PrefixFiles
from quickthaw_platform.worker import frames
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.link import Link
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.primed_process import Hooks, Primed, PrimeOrder
from quickthaw_platform.worker.processes import WatchedProcess, describe_exit
from quickthaw_platform.worker.templates import Template

MAX_TRIES = 2
"""How often a beginning is tried whose process was killed while it read; one that fails by itself is not repeated."""

READING_SECONDS = 600.0
"""A beginning that is not read by then never will be."""

MB = 1_000_000

_log = structlog.get_logger()


def usable_budget(budget_bytes: int, device: str) -> int:
    """Return what primed templates may use of a node's memory; on a GPU nothing: its instances take over none. Pure."""
    return budget_bytes if device == "cpu" else 0


class PrimedTemplates:
    """Makes one at a time, when no start waits. For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        files: PrefixFiles,
        budget_bytes: int,
        *,
        template: Callable[[str], Template | None],
        is_busy: Callable[[], bool],
        hooks: Hooks,
        threads: Executor | None = None,
    ) -> None:
        """`template` finds the live one of a key; `is_busy` says whether a start waits. `threads` run what blocks."""
        self._loop = loop
        self._files = files
        self._budget_bytes = budget_bytes
        self._template = template
        self._is_busy = is_busy
        self._hooks = hooks
        self._wanted: dict[str, PrimeOrder] = {}
        self._by_key: dict[str, Primed] = {}
        self._dropped: dict[int, Primed] = {}  # by process id
        self._refused: set[str] = set()
        self._tries: dict[str, int] = {}
        self._turns = itertools.count()
        self._threads = threads or ThreadPoolExecutor(1, "prefix-files")

    @property
    def enabled(self) -> bool:
        """Whether there is a budget at all."""
        return self._budget_bytes > 0

    def versions(self) -> frozenset[str]:
        """Return the ids of versions whose instances can be forked from a primed template."""
        return frozenset().union(*(p.versions for p in self._by_key.values() if p.ready))

    def pids(self) -> dict[str, int]:
        """Return the process id of each primed template by its key."""
        return {f"primed {key}": p.process.pid for key, p in self._by_key.items() if p.process is not None}

    def find(self, version: str, template_key: str) -> Primed | None:
        """Return a primed template for an instance of the version; it counts as used."""
        for primed in self._by_key.values():
            if primed.ready and version in primed.versions and primed.order.template.key == template_key:
                primed.used = next(self._turns)
                return primed
        return None

    def want(self, order: PrimeOrder) -> None:
        """Have a primed template for a version as soon as nothing is in its way; idempotent. Without a budget: none."""
        if not self.enabled:
            return
        found = self._by_key.get(order.key)
        if found is not None and order.version not in found.versions:
            found.versions.add(order.version)
            self._replace_others(found)
        elif found is None and order.key not in self._refused:
            self._wanted[order.key] = order
            self.look()

    def look(self) -> None:
        """Begin with the next that is wanted, unless a start waits or one is being made."""
        if not self._wanted or self._is_busy() or any(not p.ready for p in self._by_key.values()):
            return
        order = self._wanted.pop(next(iter(self._wanted)))
        template = self._template(order.template.key)
        if template is not None:
            self._make(order, template)
        else:
            self.look()  # it is wanted again by the next instance that becomes ready

    def forked(self, key: str, pid: int) -> None:
        """Take a template's word that it forked a primed one."""
        primed = self._by_key.get(key)
        if primed is not None and primed.process is None:
            primed.process = WatchedProcess(self._loop, pid, lambda status: self._ended(primed, status))

    def reported(self, pid: int, status: int) -> None:
        """Take a template's word on how a process ended; that of an instance is ignored."""
        for primed in (*self._by_key.values(), *self._dropped.values()):
            if primed.process is not None and primed.process.pid == pid:
                primed.process.reported(status)
                return

    def forget_template(self, template_key: str) -> None:
        """Let the primed ones of a template end; their instances keep on."""
        for primed in [p for p in self._by_key.values() if p.order.template.key == template_key]:
            self._drop(primed)

    def forget_versions(self, versions: Collection[str]) -> None:
        """Let those end that serve none but these versions; their instances keep on."""
        self._wanted = {key: order for key, order in self._wanted.items() if order.version not in versions}
        for primed in list(self._by_key.values()):
            primed.versions.difference_update(versions)
            if not primed.versions:
                self._drop(primed)

    def close(self) -> None:
        """Let all end, instances too."""
        self._wanted.clear()
        for primed in list(self._by_key.values()):
            self._drop(primed, leave=False)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def kill(self) -> None:
        """End what is left without asking."""
        for primed in (*self._by_key.values(), *self._dropped.values()):
            if primed.process is not None:
                primed.process.kill()

    def _make(self, order: PrimeOrder, template: Template) -> None:
        ours, theirs = frames.pair()
        link = Link(self._loop, ours, lambda frame: self._take(primed, frame), lambda: self._closed(primed))
        turn = next(self._turns)
        primed = Primed(order, link, f"primed {order.key} {turn}", {order.version}, used=turn)
        self._by_key[order.key] = primed
        self._tries[order.key] = self._tries.get(order.key, 0) + 1
        self._hooks.made(order.template.checkpoint.id, primed.name)
        template.link.send({"t": "prime", "key": order.key, "beginning": order.beginning.frame()}, [theirs])
        theirs.close()
        self._loop.later(READING_SECONDS, lambda: self._give_up_reading(primed))

    def _give_up_reading(self, primed: Primed) -> None:
        if not primed.ready:
            self._give_up(primed, NotServable(f"it was not read within {READING_SECONDS:g} s"))

    def _take(self, primed: Primed, frame: Frame) -> None:
        match frame["t"]:
            case "prefix":
                self._give_file(primed, frame["digest"])
            case "primed":
                self._primed(primed, frame)
            case "failed":
                primed.error = from_json(frame["error"])
            case "forked":
                self._hooks.forked(frame["id"], frame["pid"])
            case "exited":
                self._hooks.exited(frame["pid"], frame["status"])

    def _give_file(self, primed: Primed, digest: str) -> None:
        order = primed.order
        primed.file = self._files.name(order.template.engine, digest, shared=order.shared)

        def obtain() -> None:
            try:
                path = self._files.obtain(order.template.checkpoint.id, primed.file, shared=order.shared)
            except OSError as error:
                reason = NotServable(f"there is no place for its keys and values: {error}")
                self._loop.post(lambda: self._give_up(primed, reason))
            else:
                self._loop.post(lambda: primed.link.send({"t": "file", "path": str(path)}))

        self._threads.submit(obtain)

    def _primed(self, primed: Primed, frame: Frame) -> None:
        order = primed.order
        primed.ready, primed.own_bytes, primed.used = True, frame["bytes"], next(self._turns)
        self._tries.pop(order.key, None)
        if not order.shared:
            self._unlearn(primed)
        elif frame["computed"]:
            self._threads.submit(self._keep, order, primed.file)
        _log.info(
            "a beginning was primed",
            primed=order.key,
            tokens=frame["tokens"],
            bytes=primed.own_bytes,
            computed=frame["computed"],
        )
        self._replace_others(primed)
        self._make_room(primed)
        self._hooks.changed()
        self.look()

    def _keep(self, order: PrimeOrder, name: str) -> None:
        try:
            self._files.keep(order.template.checkpoint.id, name, shared=order.shared)
        except OSError as error:
            _log.warning("keys and values are not kept on the disk", file=name, error=str(error))

    def _replace_others(self, primed: Primed) -> None:
        """Serve its versions by this one alone: what was primed for them before was learnt earlier."""
        if not primed.ready:
            return
        for other in list(self._by_key.values()):
            if other is not primed and other.ready:
                other.versions -= primed.versions
                if not other.versions:
                    self._drop(other)

    def _make_room(self, newest: Primed) -> None:
        if newest.own_bytes > self._budget_bytes:
            size, budget = f"{newest.own_bytes / MB:,.0f} MB", f"{self._budget_bytes / MB:,.0f} MB"
            self._give_up(newest, NotServable(f"it has {size} of its own, the budget is {budget} (prefix_budget)"))
        ready = sorted((p for p in self._by_key.values() if p.ready), key=lambda p: p.used)
        over = sum(p.own_bytes for p in ready) - self._budget_bytes
        for primed in ready:
            if over <= 0:
                return
            over -= primed.own_bytes
            self._drop(primed)

    def _give_up(self, primed: Primed, reason: QuickthawError) -> None:
        if self._by_key.get(primed.order.key) is primed:
            self._refuse(primed.order, reason.message)
            self._drop(primed)
            self.look()

    def _refuse(self, order: PrimeOrder, reason: str) -> None:
        self._refused.add(order.key)
        if not order.beginning.plain:  # nobody asked for that of a plain chat
            _log.warning("a version goes without a primed template", version=order.version, reason=reason)

    def _closed(self, primed: Primed) -> None:
        """Its socket closed before its end was noticed, or before it was even forked."""
        if primed.process is None:
            self._loop.later(0.5, lambda: self._ended(primed, None))
        else:
            self._loop.later(0.5, primed.process.kill)

    def _ended(self, primed: Primed, status: int | None) -> None:
        if primed.process is not None and self._dropped.pop(primed.process.pid, None) is not None:
            self._hooks.gone(primed.name)
            return
        key = primed.order.key
        if self._by_key.get(key) is not primed:
            return
        primed.link.drain()
        primed.link.close()
        del self._by_key[key]
        self._unlearn(primed)
        self._hooks.gone(primed.name)
        if primed.error is not None:
            self._refuse(primed.order, primed.error.message)
        elif not primed.ready and self._tries[key] >= MAX_TRIES:
            self._refuse(primed.order, f"its process {describe_exit(status)} while it read the beginning")
        else:
            _log.warning("a primed template ended", primed=key, how=describe_exit(status))
        self._hooks.changed()
        self.look()

    def _drop(self, primed: Primed, *, leave: bool = True) -> None:
        del self._by_key[primed.order.key]
        self._unlearn(primed)
        if leave:
            primed.link.send({"t": "leave"})
        primed.link.close()
        if primed.process is None:
            self._loop.later(0.5, lambda: self._hooks.gone(primed.name))  # it ends when it finds nobody
        else:
            self._dropped[primed.process.pid] = primed
            if not primed.ready:
                primed.process.kill()
        self._hooks.changed()

    def _unlearn(self, primed: Primed) -> None:
        """Delete the file of what was learnt from calls: it is in memory, or never will be."""
        if not primed.order.shared and primed.file:
            self._threads.submit(self._files.remove, primed.order.template.checkpoint.id, primed.file)
