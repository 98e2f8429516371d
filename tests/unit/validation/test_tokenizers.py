"""Tokenizers as transformers reads them, with no more of it than they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.validation.tokenizers import huggingface
from tests.unit.engines import tiny

TEXT = "<|begin|> two  words,\n\tünïcode 🎉 and 1e-7<|end|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    tiny.tokenizer().save_pretrained(made)
    return made


def test_a_plain_tokenizer_is_that_of_transformers_automatic_choice(folder: Path) -> None:
    found, automatic = huggingface(folder, "tiny"), AutoTokenizer.from_pretrained(folder)
    assert found.encode(TEXT) == automatic.encode(TEXT)
    assert (found.bos, found.eos) == (automatic.bos_token_id, automatic.eos_token_id)


def test_a_plain_tokenizer_is_read_without_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from quickthaw_platform.validation.tokenizers import huggingface; "
        f"print(len(huggingface(Path({str(folder)!r}), '').encode('four')), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "False"]


@pytest.mark.parametrize("config", ["{", '{"tokenizer_class": "TokenizersBackend"}', "{}"])
def test_what_is_no_tokenizer_is_refused_with_its_folder(tmp_path: Path, config: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(InvalidRequest, match=f"{tmp_path} cannot be read"):
        huggingface(tmp_path, "broken")
