"""What the models of the cluster do, read for all who ask: however many clients watch, one reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

from redis import Redis

from quickthaw.resources import DEFAULT_ALIAS, CheckpointInfo
from quickthaw.types import Version
from quickthaw_platform.contracts import ClusterView
from quickthaw_platform.errors import VersionNotFound
from quickthaw_platform.gateway.model_cards import ModelCard, status_of
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.record import FunctionRecord
from quickthaw_platform.router.view import read_view
from quickthaw_platform.stored_records import RecordUnreadable


class ModelWatch:
    """Reads the cards of functions. Safe to share between threads and greenlets."""

    def __init__(self, redis: Redis, registry: FunctionRegistry, catalogue: Catalogue, slots: SlotStore) -> None:
        self._redis = redis
        self._registry = registry
        self._catalogue = catalogue
        self._slots = slots
        self._reading = threading.Lock()
        self._cards: Mapping[str, ModelCard] = {}
        self._read_at = -1.0  # by the process' clock

    def cards(self) -> list[ModelCard]:
        """Return every function as it is now, by name; Unavailable when Redis is."""
        return self._describe((record, record.name, DEFAULT_ALIAS) for record in self._registry.list())

    def card(self, name: str, alias: str | None) -> ModelCard:
        """Return one function, or what an alias of it runs; FunctionNotFound, AliasNotFound."""
        record = self._registry.get(name)
        if alias is not None:
            record.weights(alias)
        model = name if alias is None else f"{name}:{alias}"
        return self._describe([(record, model, alias or DEFAULT_ALIAS)])[0]

    def recent(self, seconds: float) -> Mapping[str, ModelCard]:
        """Return the cards by name as they were at most `seconds` ago; who comes first reads for the others."""
        with self._reading:
            if self._read_at < 0 or time.monotonic() - self._read_at >= seconds:
                self._read_at = time.monotonic()  # also in an outage: the others do not wait for Redis one by one
                self._cards = {card.id: card for card in self.cards()}
            return self._cards

    def _describe(self, wanted: Iterable[tuple[FunctionRecord, str, str]]) -> list[ModelCard]:
        checkpoints = {entry.id: entry for entry in self._catalogue.list()}
        rows = [(record, model, sorted(record.aliases.get(alias, ()))) for record, model, alias in wanted]
        failures = self._slots.failures([version for _, _, versions in rows for version in versions])
        view = read_view(self._redis)
        return [self._card(record, model, ids, view, failures, checkpoints) for record, model, ids in rows]

    def _card(
        self,
        record: FunctionRecord,
        model: str,
        ids: list[str],
        view: ClusterView,
        failures: Mapping[str, str],
        checkpoints: Mapping[str, CheckpointInfo],
    ) -> ModelCard:
        lengths = [_context_tokens(version, checkpoints) for version in self._versions(ids)]
        known = [length for length in lengths if length]
        return ModelCard(
            id=model,
            created=int(record.created_at),
            max_model_len=min(known) if known else None,
            status=status_of(ids, view, failures),
        )

    def _versions(self, ids: Iterable[str]) -> Iterable[Version]:
        for identity in ids:
            try:
                yield self._registry.version(identity)
            except (VersionNotFound, RecordUnreadable):  # deleted since the list was read, or of another release
                continue


def _context_tokens(version: Version, checkpoints: Mapping[str, CheckpointInfo]) -> int | None:
    """Return what the function's option says, else what the model was made for; None where no node announces it."""
    option = version.spec.options.get("context_tokens")
    if isinstance(option, int):
        return option
    checkpoint = checkpoints.get(version.checkpoint)
    return None if checkpoint is None else checkpoint.context_tokens
