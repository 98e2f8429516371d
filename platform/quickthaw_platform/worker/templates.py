"""The node's templates, as the agent sees them: one for each checkpoint, engine and options."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from quickthaw.errors import QuickthawError, StartFailed, from_json
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.worker import checkpoint_frames, frames
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.link import Link
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.processes import WatchedProcess, describe_exit
from quickthaw_platform.worker.zygotes import Zygotes

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TemplateOrder:
    """What a template is made of."""

    engine: str
    checkpoint: Checkpoint
    options: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The same for orders that one template can serve."""
        text = json.dumps([self.engine, self.checkpoint.id, dict(self.options)], sort_keys=True)
        return f"{self.engine}-{self.checkpoint.id}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def frame(self) -> Frame:
        """Return the order as the zygote takes it."""
        return {
            "t": "template",
            "key": self.key,
            "engine": self.engine,
            "checkpoint": checkpoint_frames.to_frame(self.checkpoint),
            "options": dict(self.options),
        }


@dataclass(slots=True)
class Template:
    """One template process; `on_fork` hears (instance id, pid), `on_exit` (pid, status) of its instances."""

    order: TemplateOrder
    link: Link
    name: str  # of this very process: a key's next template has another
    waiting: list[Waiter] = field(default_factory=list)
    prepared: bool = False
    error: QuickthawError | None = None
    stages: dict[str, float] = field(default_factory=dict)
    process: WatchedProcess | None = None


@dataclass(frozen=True, slots=True)
class Waiter:
    """Who wants a template: `failed` takes the error, and whether another try can help."""

    ready: Callable[[Template], None]
    failed: Callable[[QuickthawError, bool], None]


class Templates:
    """Makes each template once, however many starts want it at a time. For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        zygotes: Zygotes,
        *,
        on_forked: Callable[[str, int], None],
        on_exited: Callable[[int, int], None],
        on_made: Callable[[str, str], None],
        on_gone: Callable[[str], None],
        on_primed: Callable[[str, int], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """`on_forked` takes (instance id, pid), `on_exited` (pid of what was forked, status), `on_made` (checkpoint id,
        template's name) before it maps anything, `on_gone` the name when it maps nothing any more; `on_primed` (key,
        pid) of a primed template, `on_lost` the key of a template that forks nothing any more.
        """
        self._loop = loop
        self._on_made = on_made
        self._on_gone = on_gone
        self._numbers = itertools.count()
        self._zygotes = zygotes
        self._on_forked = on_forked
        self._on_exited = on_exited
        self._on_primed = on_primed
        self._on_lost = on_lost
        self._templates: dict[str, Template] = {}
        self._dropped: dict[int, WatchedProcess] = {}
        self._unborn: dict[str, deque[str]] = defaultdict(deque)  # key to names of templates dropped before their fork

    def checkpoints(self) -> frozenset[str]:
        """Return the ids of checkpoints with a prepared template."""
        return frozenset(t.order.checkpoint.id for t in self._templates.values() if t.prepared)

    def pids(self) -> dict[str, int]:
        """Return the process id of each template by its key."""
        return {key: t.process.pid for key, t in self._templates.items() if t.process is not None}

    def find(self, key: str) -> Template | None:
        """Return the prepared template of a key; None where there is none."""
        template = self._templates.get(key)
        return template if template is not None and template.prepared else None

    def obtain(self, order: TemplateOrder, waiter: Waiter) -> None:
        """Hand a prepared template to `waiter`, now or when it is prepared."""
        template = self._templates.get(order.key)
        if template is None:
            template = self._make(order)
        if template.prepared:
            waiter.ready(template)
        else:
            template.waiting.append(waiter)

    def forked(self, key: str, pid: int) -> None:
        """Take the zygote's word that it forked a template."""
        unborn = self._unborn.get(key)
        template = self._templates.get(key)
        if unborn:
            name = unborn.popleft()
            self._dropped[pid] = WatchedProcess(self._loop, pid, lambda _status: self._forget_dropped(pid, name))
        elif template is not None:
            template.process = WatchedProcess(self._loop, pid, lambda status: self._ended(template, status))

    def reported(self, pid: int, status: int) -> None:
        """Take the zygote's word on how a template ended."""
        for process in (*(t.process for t in self._templates.values()), *self._dropped.values()):
            if process is not None and process.pid == pid:
                process.reported(status)
                return

    def forget(self, checkpoint_id: str) -> None:
        """Let the templates of a checkpoint end; their instances keep on."""
        for template in [t for t in self._templates.values() if t.order.checkpoint.id == checkpoint_id]:
            template.link.send({"t": "leave"})
            self._drop(template)

    def close(self) -> None:
        """Let all templates end."""
        for template in list(self._templates.values()):
            self._drop(template)

    def kill(self) -> None:
        """End what is left without asking."""
        for process in (*(t.process for t in self._templates.values()), *self._dropped.values()):
            if process is not None:
                process.kill()

    def _make(self, order: TemplateOrder) -> Template:
        ours, theirs = frames.pair()
        link = Link(self._loop, ours, lambda frame: self._take(template, frame), lambda: self._closed(template))
        template = Template(order, link, f"template {order.key} {next(self._numbers)}")
        self._templates[order.key] = template
        self._on_made(order.checkpoint.id, template.name)
        self._zygotes.fork_template(order.frame(), theirs, checkpoint_frames.descriptors(order.checkpoint))
        return template

    def _take(self, template: Template, frame: Frame) -> None:
        match frame["t"]:
            case "stage":
                template.stages[frame["name"]] = frame["seconds"]
            case "prepared":
                template.prepared = True
                waiting, template.waiting = template.waiting, []
                for waiter in waiting:
                    waiter.ready(template)
                template.stages = {}  # only the starts that waited have paid for them
            case "failed":
                template.error = from_json(frame["error"])
            case "forked":
                self._on_forked(frame["id"], frame["pid"])
            case "forked-primed":
                self._on_primed(frame["key"], frame["pid"])
            case "exited":
                self._on_exited(frame["pid"], frame["status"])

    def _closed(self, template: Template) -> None:
        """Its socket closed before its end was noticed, or before it was even forked."""
        if template.process is None:
            self._loop.later(0.5, lambda: self._ended(template, None))
        else:
            self._loop.later(0.5, template.process.kill)

    def _ended(self, template: Template, status: int | None) -> None:
        if template.process is not None:
            self._forget_dropped(template.process.pid, template.name)
        if self._templates.get(template.order.key) is not template:
            return
        template.link.drain()
        template.link.close()
        del self._templates[template.order.key]
        self._on_gone(template.name)
        self._on_lost(template.order.key)
        waiting, template.waiting = template.waiting, []
        if template.error is None:
            _log.warning("a template ended", template=template.order.key, how=describe_exit(status))
        error = template.error or StartFailed(f"the template process {describe_exit(status)} while it was preparing")
        for waiter in waiting:
            waiter.failed(error, template.error is None)

    def _drop(self, template: Template) -> None:
        del self._templates[template.order.key]
        template.link.close()
        if template.process is not None:
            self._dropped[template.process.pid] = template.process
        else:
            self._unborn[template.order.key].append(template.name)
        self._on_lost(template.order.key)

    def _forget_dropped(self, pid: int, name: str) -> None:
        if self._dropped.pop(pid, None) is not None:
            self._on_gone(name)
