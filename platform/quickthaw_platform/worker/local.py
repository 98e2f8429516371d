"""A model in this very process, for `function.local(...)`: no platform runs."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from quickthaw.model import Model
from quickthaw.types import FunctionSpec
from quickthaw_platform import plugins
from quickthaw_platform import settings as settings_module
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import TakesAdapters
from quickthaw_platform.registry.catalogue import describe
from quickthaw_platform.registry.engines import check_adapter, check_takes, default_engine
from quickthaw_platform.worker.bounds import Bounds
from quickthaw_platform.worker.instance import KV_SHARE
from quickthaw_platform.worker.model import BoundModel


@contextmanager
def open_model(function: FunctionSpec) -> Iterator[Model]:
    """Load the checkpoint of a function from this machine's disk; the model is closed at the end of the `with` block.

    Of the function count its model, adapter, engine (the one that a deploy would take, where it names none), options,
    memory, and how long its answers are. It has a handler, whatever its specification says, since that is about to be
    run here. What is waited for is said on stderr. Raises CheckpointNotFound, EngineNotFound, InvalidRequest and
    StartFailed as a deploy or a start would.
    """
    began = time.monotonic()
    settings = settings_module.load()
    store = DiskStore(settings.checkpoints_dir)
    name, adapter = function.model, function.adapter
    checkpoint = store.find(name)
    engine = function.engine or default_engine(Manifest.of(checkpoint).weights_format)
    _say(f"loading {name} with the engine {engine}, in this process and for this call alone")
    loaded = plugins.usable_engine(engine)()
    manifest = Manifest.of(checkpoint)
    check_takes(engine, name, manifest.weights_format, manifest.task)
    lora = None if adapter is None else store.find(adapter)
    if lora is not None:
        check_adapter(engine, describe(Manifest.of(lora)), describe(manifest))
    loaded.prepare(checkpoint, function.options, lambda _stage, _seconds: None)
    if lora is not None and isinstance(loaded, TakesAdapters):
        loaded.adapt(lora)
    memory_bytes = function.memory or settings.instance_memory
    loaded.start(settings.device, settings.threads, int(memory_bytes * KV_SHARE))
    _say(f"{name} is loaded, after {time.monotonic() - began:.1f} s")
    try:
        bounds = Bounds(function.default_max_tokens(usual=None), function.max_tokens_limit)
        yield BoundModel(loaded, f"local-{secrets.token_hex(4)}", seed=secrets.randbits(63), bounds=bounds)
    finally:
        loaded.close()


def _say(what: str) -> None:
    """Tell a person at the terminal; stdout belongs to the function."""
    print(f".local(): {what}", file=sys.stderr, flush=True)
