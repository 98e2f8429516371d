"""The engines that the contract suites run over, on tiny models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import pytest

from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_backends.engines.transformers_engine.linear import native_bf16
from quickthaw_backends.engines.vllm_engine import VllmEngine
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint, Engine
from tests.unit.checkpoints import gguf_files
from tests.unit.engines import tiny

KINDS = (
    "echo",
    "transformers",
    "transformers-steady",
    pytest.param(
        "transformers-mixed", marks=pytest.mark.skipif(not native_bf16(), reason="this CPU does not multiply bfloat16")
    ),
    pytest.param(
        "llamacpp", marks=pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))
    ),
    pytest.param("vllm", marks=pytest.mark.skipif(VllmEngine.missing() is not None, reason=str(VllmEngine.missing()))),
)
MEMORY_BYTES = 8 << 20


@dataclass(frozen=True)
class Kind:
    """How to make an engine of one kind, and what its streams do here."""

    make: Callable[[], Engine]
    checkpoint: Callable[[str], Checkpoint]  # by task
    slow: dict[str, Any] = field(default_factory=dict)  # options with which a stream runs long enough to be looked at
    options: dict[str, Any] = field(default_factory=dict)
    generating: dict[str, Any] = field(default_factory=dict)  # options of models that generate
    sleeping: dict[str, Any] | None = None  # options with which it can sleep; None: it cannot


def gguf_checkpoint(folder: Path, task: str) -> Checkpoint:
    file, store = folder / f"{task}.gguf", DiskStore(folder / "checkpoints")
    if not file.exists():
        pooling = gguf.PoolingType.MEAN if task == "embed" else None
        gguf_files.write_llama(file, context_tokens=tiny.CONTEXT_TOKENS, pooling=pooling)
    return import_checkpoint(str(file), store).checkpoint


def started(kind: Kind, task: str = "generate", **options: Any) -> Engine:
    engine = kind.make()
    own = kind.options | (kind.generating if task == "generate" else {})
    engine.prepare(kind.checkpoint(task), own | options, lambda _name, _seconds: None)
    engine.start("cpu", 1, MEMORY_BYTES)
    return engine


def kind_named(name: str, folder: Path) -> Kind:
    """Return a kind of engine; its checkpoints lie in `folder`."""
    if name == "echo":
        return Kind(
            EchoEngine,
            lambda task: Checkpoint("none", Path("/nowhere"), {"task": task, "context_tokens": tiny.CONTEXT_TOKENS}),
            slow={"token_delay": "50ms"},
            sleeping={"can_sleep": True},
        )
    if name == "llamacpp":
        return Kind(LlamaCppEngine, lambda task: gguf_checkpoint(folder, task))
    models = {"generate": "llama", "embed": "bert"}
    if name == "vllm":
        return Kind(
            VllmEngine,
            lambda task: tiny.checkpoint(folder, f"wide_{models[task]}"),
            options={"dtype": "float32"},
            sleeping={},
        )
    narrow = name in ("transformers-steady", "transformers-mixed")
    return Kind(
        TransformersEngine,
        lambda task: tiny.checkpoint(folder, models[task], "bfloat16" if narrow else "float32"),
        options={"compute": "steady"} if name == "transformers-steady" else {},
        generating={"compute": "mixed"} if name == "transformers-mixed" else {},
    )
