"""Small trace files for the tests, and where the public ones may lie."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
CODE = DATA / "AzureLLMInferenceTrace_code_2023.csv.gz"
CONV = DATA / "AzureLLMInferenceTrace_conv_2023.csv.gz"
SERVEGEN = DATA / "servegen_language_m-small_arrivals.csv.gz"

needs_public_traces = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} with the public traces is not here")

AZURE_2023 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:05.9799600,31,8\n"
)


def written(path: Path, text: str | bytes) -> Path:
    """Write a file, compressed where its name says so."""
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
