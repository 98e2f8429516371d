"""A model in this very process, for `function.local(...)`: no platform runs."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from quickthaw.model import Model
from quickthaw_platform import plugins
from quickthaw_platform import settings as settings_module
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import TakesAdapters
from quickthaw_platform.registry.catalogue import describe
from quickthaw_platform.registry.engines import check_adapter, check_takes, default_engine
from quickthaw_platform.worker.instance import KV_SHARE
from quickthaw_platform.worker.model import BoundModel


@contextmanager
def open_model(
    name: str, engine: str | None = None, options: Mapping[str, Any] | None = None, adapter: str | None = None
) -> Iterator[Model]:
    """Load the checkpoint `name` from this machine's disk; the model is closed at the end of the `with` block.

    `engine` None takes the one that a deploy would. `adapter` names a LoRA adapter to be put on it. What is waited for
    is said on stderr. Raises CheckpointNotFound, EngineNotFound, InvalidRequest and StartFailed as a deploy or a start
    would.
    """
    began = time.monotonic()
    settings = settings_module.load()
    store = DiskStore(settings.checkpoints_dir)
    checkpoint = store.find(name)
    engine = engine or default_engine(Manifest.of(checkpoint).weights_format)
    _say(f"loading {name} with the engine {engine}, in this process and for this call alone")
    loaded = plugins.usable_engine(engine)()
    manifest = Manifest.of(checkpoint)
    check_takes(engine, name, manifest.weights_format, manifest.task)
    lora = None if adapter is None else store.find(adapter)
    if lora is not None:
        check_adapter(engine, describe(Manifest.of(lora)), describe(manifest))
    loaded.prepare(checkpoint, options or {}, lambda _stage, _seconds: None)
    if lora is not None and isinstance(loaded, TakesAdapters):
        loaded.adapt(lora)
    loaded.start(settings.device, settings.threads, int(settings.instance_memory * KV_SHARE))
    _say(f"{name} is loaded, after {time.monotonic() - began:.1f} s")
    try:
        yield BoundModel(loaded, f"local-{secrets.token_hex(4)}", seed=secrets.randbits(63))
    finally:
        loaded.close()


def _say(what: str) -> None:
    """Tell a person at the terminal; stdout belongs to the function."""
    print(f".local(): {what}", file=sys.stderr, flush=True)
