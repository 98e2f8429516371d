"""What the control API answers, as the shortest JSON that is valid."""

from __future__ import annotations

from typing import Any

from quickthaw.results import CheckpointResult, Measured

FUNCTION = {
    "name": "chat", "model": "m", "engine": "echo", "versions": 1, "aliases": {"live": {"v1": 1.0}},
    "instances": 0, "running": 0, "waiting": 0, "created_at": 1.0,
}  # fmt: skip
VERSION = {
    "id": "v1", "function": "chat", "number": 1, "checkpoint": "c", "created_at": 1.0,
    "spec": {"name": "chat", "model": "m"},
}  # fmt: skip
ALIAS = {"name": "live", "weights": {"v1": 1.0}}
NODE = {
    "id": "n1", "state": "ready", "device": "cpu", "memory_bytes": 2, "memory_free_bytes": 1, "last_seen": 1.0,
}  # fmt: skip
INSTANCE = {
    "id": "i1", "function": "chat", "version": "v1", "node": "n1", "state": "ready", "concurrency": 8, "in_use": 0,
    "memory_bytes": 1, "created_at": 1.0,
}  # fmt: skip
CHECKPOINT = {"id": "c1", "name": "m", "task": "generate", "bytes": 1, "context_tokens": 8}
RESULT = CheckpointResult(
    checkpoint="c1", protocol="hf", text="wikitext-2", text_sha256="0" * 64, whole=True, engine="transformers",
    metrics={"perplexity": Measured(value=21.5, low=20.9, high=22.2)},
)  # fmt: skip
KEY = {"id": "k1", "name": "ci", "scopes": ["invoke"], "created_at": 1.0}
LINE = {"id": "1-0", "t": 1.0, "line": "hello"}
DELETED = {"deleted": True}


def listed(*items: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(items)}
