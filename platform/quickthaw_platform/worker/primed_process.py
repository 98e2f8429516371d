"""One primed template as the agent knows it, what it is made of, and whom it tells of its life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quickthaw.errors import QuickthawError
from quickthaw_platform.worker.beginning import Beginning
from quickthaw_platform.worker.link import Link
from quickthaw_platform.worker.processes import WatchedProcess
from quickthaw_platform.worker.templates import TemplateOrder


@dataclass(frozen=True, slots=True)
class PrimeOrder:
    """What a version's prompts begin with, and the template that is to read it."""

    version: str
    template: TemplateOrder
    beginning: Beginning

    @property
    def key(self) -> str:
        """The same for versions that one primed template can serve."""
        return f"{self.template.key}-{self.beginning.digest}"

    @property
    def shared(self) -> bool:
        """Whether other nodes may have its keys and values: what was learnt from calls stays where it was learnt."""
        return not self.beginning.learnt


@dataclass(slots=True)
class Primed:
    """One primed template's process; until it is `ready` it reads."""

    order: PrimeOrder
    link: Link
    name: str  # of this very process
    versions: set[str]
    process: WatchedProcess | None = None
    ready: bool = False
    error: QuickthawError | None = None
    own_bytes: int = 0
    file: str = ""  # the name of that with its keys and values
    used: int = 0  # the larger, the later


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the agent does when something happens to primed templates. Called from the loop's thread."""

    forked: Callable[[str, int], None]  # (instance, pid): it was forked
    exited: Callable[[int, int], None]  # (pid, status): an instance has ended
    made: Callable[[str, str], None]  # (checkpoint, name of a process): before that maps anything
    gone: Callable[[str], None]  # (name of a process): it maps nothing any more
    changed: Callable[[], None]  # other versions are primed than before
