"""The node's zygotes: engines that need the same modules share one, and no instance carries those of other engines.

A fork copies the entries of all pages that its parent has. torch and transformers have some 80,000 of them, which an
instance of llama.cpp would pay for with milliseconds and megabytes, at each start.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from quickthaw.types import Isolation
from quickthaw_platform import plugins
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.errors import PluginBroken
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.zygote_client import ZygoteClient

Modules = tuple[str, ...]

_log = structlog.get_logger()


def preloads(engines: Mapping[str, Modules], chosen: Modules | None) -> dict[str, Modules]:
    """Return what the zygote of each engine imports, given what each names; `chosen`, where given, is for all. Pure.

    An engine that names nothing shares the zygote that imports least.
    """
    if chosen is not None:
        return dict.fromkeys(engines, chosen)
    least = min((modules for modules in engines.values() if modules), key=lambda m: (len(m), m), default=())
    return {engine: modules or least for engine, modules in engines.items()}


class Zygotes:
    """For the loop's thread only, once started."""

    def __init__(
        self,
        loop: Loop,
        chosen: Modules | None,
        *,
        isolation: Isolation | None,
        on_forked: Callable[[str, int], None],
        on_exited: Callable[[int, int], None],
        on_ready: Callable[[Grant], None],
    ) -> None:
        """`chosen` are the modules of all; None: those that each engine names. `on_ready` is called when all are ready,
        and for each one that is started again; the others as in `ZygoteClient`.
        """
        self._on_ready = on_ready
        self._waiting: list[tuple[Frame, socket.socket, Sequence[int]]] = []
        self._by_engine = preloads(named_by_engines(), chosen)
        self._by_modules = {
            modules: ZygoteClient(
                loop,
                modules,
                isolation=isolation,
                on_forked=on_forked,
                on_exited=on_exited,
                on_ready=partial(self._ready, modules),
            )
            for modules in dict.fromkeys(self._by_engine.values())
        }
        self._starting = set(self._by_modules)

    def pids(self) -> dict[str, int]:
        """Return the process id of each that there is, by its name and the engines that it is for."""
        found = ((modules, zygote.pid) for modules, zygote in self._by_modules.items())
        return {f"zygote of {self._engines(modules)}": pid for modules, pid in found if pid is not None}

    def start(self) -> None:
        """Start all; see `ZygoteClient.start`."""
        for zygote in self._by_modules.values():
            zygote.start()

    def fork_template(self, order: Frame, end: socket.socket, files: Sequence[int]) -> None:
        """Have a template forked by the zygote of its engine; see `ZygoteClient.fork_template`.

        Not before all have been ready once: the node is not announced until then, and what ran on it would be taken
        for lost.
        """
        if self._starting:
            self._waiting.append((order, end, files))
            return
        modules = self._by_engine.get(order["engine"])
        zygote = self._by_modules[modules] if modules is not None else next(iter(self._by_modules.values()))
        zygote.fork_template(order, end, files)

    def close(self) -> None:
        """Let all end, and start no other."""
        for zygote in self._by_modules.values():
            zygote.close()

    def kill(self) -> None:
        """End all without asking."""
        for zygote in self._by_modules.values():
            zygote.kill()

    def _engines(self, modules: Modules) -> str:
        return ", ".join(engine for engine, wanted in self._by_engine.items() if wanted == modules)

    def _ready(self, modules: Modules, grant: Grant) -> None:
        self._starting.discard(modules)
        if self._starting:
            return
        self._on_ready(grant)
        waiting, self._waiting = self._waiting, []
        for order, end, files in waiting:
            self.fork_template(order, end, files)


def named_by_engines() -> dict[str, Modules]:
    """Return the modules that each engine names; one without its library, or that does not load, names none."""
    found: dict[str, Modules] = {}
    for engine in plugins.names(plugins.ENGINES):
        try:
            kind = plugins.engine_class(engine)
            found[engine] = () if kind.missing() is not None else getattr(kind, "preloads", ())  # a plugin may be old
        except PluginBroken as error:
            _log.warning("an engine cannot be used", engine=engine, why=error.message)
            found[engine] = ()
    return found
