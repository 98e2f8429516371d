"""What the node's versions begin their prompts with, as deployed or as their calls taught, and who has read it."""

from __future__ import annotations

from collections.abc import Collection

from quickthaw.types import Version
from quickthaw_platform.worker.beginning import PLAIN_CHAT, Beginning
from quickthaw_platform.worker.prefix_learner import PrefixLearner
from quickthaw_platform.worker.primed import PrimedTemplates
from quickthaw_platform.worker.primed_process import Primed, PrimeOrder
from quickthaw_platform.worker.templates import TemplateOrder

MAX_LEARNERS = 256
"""So many versions are learnt of at a time; each keeps at most a megabyte of tokens."""


class Beginnings:
    """For the loop's thread only."""

    def __init__(self, primed: PrimedTemplates) -> None:
        self._primed = primed
        self._learners: dict[str, PrefixLearner] = {}  # by version id, the one heard of last at the end

    def template_of(self, version: Version, template: TemplateOrder) -> Primed | None:
        """Return the primed template that can fork an instance of a version; None: none can."""
        return self._primed.find(version.id, template.key)

    def ready(self, version: Version, template: TemplateOrder) -> None:
        """An instance of a version serves: have a primed template made for the next one.

        None for a version with an adapter: a template, which others share, would read its beginning without that.
        None for one that embeds: its texts are computed whole.
        """
        if version.adapter_checkpoint is not None:
            return
        if template.checkpoint.manifest.get("task", "generate") == "generate":
            self._primed.want(PrimeOrder(version.id, template, self._of(version)))

    def prompt(self, version: Version, template: TemplateOrder, sample: bytes) -> None:
        """Learn from a prompt of a version that names no beginning (see prefix_learner.sample_of)."""
        if not self._primed.enabled:
            return
        learner = self._learners.pop(version.id, None) or PrefixLearner()
        self._learners[version.id] = learner
        if len(self._learners) > MAX_LEARNERS:
            del self._learners[next(iter(self._learners))]
        if learner.add(sample):
            self.ready(version, template)

    def look(self) -> None:
        """Perhaps no start waits any more: go on with what is to be primed."""
        self._primed.look()

    def versions(self) -> frozenset[str]:
        """Return the ids of versions that are primed or learnt of."""
        return self._primed.versions() | self._learners.keys()

    def forget(self, versions: Collection[str]) -> None:
        """Drop all that there is of versions that are no more; instances that run keep on."""
        for version in versions:
            self._learners.pop(version, None)
        self._primed.forget_versions(versions)

    def _of(self, version: Version) -> Beginning:
        """Return what is named, else what was learnt, else what every plain chat with the model begins with."""
        learner = self._learners.get(version.id)
        learnt = Beginning(tokens=learner.tokens) if learner is not None else PLAIN_CHAT
        return Beginning.of(version.spec) or learnt
