"""The measured models: GGUF files, made once and kept beside the results, and the same weights as folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.assets import ASSETS, CHILDREN, MODEL, gguf_file, hugging_face_folder, staged
from benchmarks.processes import OFFLINE

BILLION: Mapping[str, int] = {"layers": 16, "hidden": 2048, "wide": 8192, "heads": 32, "kv_heads": 8}
"""Llama-3.2-1B, but for its vocabulary."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model by the type of its weights. `shape`: of random weights; empty: those of SmolLM2-135M."""

    name: str
    kind: str
    shape: Mapping[str, int] = field(default_factory=dict)

    def gguf(self) -> Path:
        """Return its file."""
        if self == SMALL:
            return gguf_file()
        folder = ASSETS / "gguf" / self.name
        if not folder.exists():
            with staged(folder) as made:
                made.mkdir()
                file = made / f"{self.name}.gguf"
                _run("write_gguf.py", str(gguf_file()), str(file), self.kind, json.dumps(dict(self.shape)))
        return folder / f"{self.name}.gguf"

    def hugging_face(self) -> Path:
        """Return the same weights as a folder in bf16."""
        if self == SMALL:
            return hugging_face_folder()
        folder = ASSETS / self.name
        if not folder.exists():
            with staged(folder) as made:
                _run("unpack_gguf.py", str(self.gguf()), str(made))
        return folder


SMALL = Model(MODEL, "Q4_1")
MODELS = (
    SMALL,
    Model("smollm2-135m-q8", "Q8_0"),
    Model("smollm2-135m-bf16", "BF16"),
    Model("random-1b-q8", "Q8_0", BILLION),
)


def _run(script: str, *arguments: str) -> None:
    subprocess.run([sys.executable, str(CHILDREN / script), *arguments], check=True, env=os.environ | OFFLINE)
