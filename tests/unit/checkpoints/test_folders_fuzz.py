"""Model folders as people have them: each is imported, or refused by name, and the store is never left half filled."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import open_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.errors import QuickthawError
from tests.made_up import examples
from tests.unit.checkpoints.models import save_bert, save_llama

CONTENTS = {
    "empty": b"",
    "object": b"{}",
    "list": b"[]",
    "null": b"null",
    "bytes": b"\x80\x81\xff\0",
    "deep": b"[" * 100_000,
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n",
    "page": b"<html></html>",
    "mark": b"\xef\xbb\xbf{}",
    "utf-16": "{}".encode("utf-16"),
}
VALUES: list[Any] = [None, True, -1, 0, 1.5, 10**30, "", "x", [], {}, [None], {"a": 1}, [[1]], "a/../b", "\ud800"]
FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
KEYS = ["architectures", "model_type", "quantization_config", "text_config", "dtype", "eos_token_id", "vocab_size"]
KEYS += ["max_position_embeddings", "weight_map", "model", "pad_token_id", "temperature"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A decoder in shards, and an encoder."""
    folder = tmp_path_factory.mktemp("folders")
    save_llama(folder / "decoder", shard_size="6KB")
    save_bert(folder / "encoder")
    return {"decoder": folder / "decoder", "encoder": folder / "encoder"}


def tried(
    model: Path, name: str, content: bytes | None, changes: dict[str, Any] | None = None
) -> QuickthawError | None:
    """Import a model one of whose files has another content, is missing (None), or says otherwise (changes)."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        shutil.copytree(model, folder)
        file = folder / name
        if changes is not None:
            content = json.dumps({**(json.loads(file.read_bytes()) if file.exists() else {}), **changes}).encode()
        file.unlink(missing_ok=True) if content is None else file.write_bytes(content)
        store = DiskStore(Path(place) / "checkpoints")
        try:
            import_checkpoint(str(folder), store)
        except QuickthawError as error:
            assert store.list() == []
            return error
        assert [open_checkpoint(checkpoint.path).manifest["name"] for checkpoint in store.list()] == ["model"]
        return None


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_a_file_without_which_nothing_is_read_is_named(folders: dict[str, Path], name: str, content: bytes) -> None:
    error = tried(folders["decoder"], name, content)
    assert error is not None
    assert "config.json" in error.message or "index" in error.message or "architecture unknown" in error.message


@settings(max_examples=examples(8))
@given(
    st.sampled_from(["decoder", "encoder"]),
    st.sampled_from(FILES),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), min_size=1, max_size=2),
)
@example("decoder", "config.json", {"quantization_config": None})
@example("decoder", "config.json", {"quantization_config": "gptq"})
@example("decoder", "config.json", {"architectures": [[]]})
@example("decoder", "config.json", {"architectures": "LlamaForCausalLM"})
@example("encoder", "config.json", {"model_type": []})
@example("decoder", "config.json", {"text_config": 1})
@example("decoder", "config.json", {"max_position_embeddings": "many"})
@example("decoder", "generation_config.json", {"temperature": 0.5, "do_sample": False})
def test_whatever_a_file_says_the_model_is_imported_or_refused(
    folders: dict[str, Path], model: str, name: str, changes: dict[str, Any]
) -> None:
    tried(folders[model], name, None, changes)


def test_a_quantization_config_that_is_null_is_none(folders: dict[str, Path]) -> None:
    assert tried(folders["decoder"], "config.json", None, {"quantization_config": None}) is None


@settings(max_examples=examples(15))
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_of_a_header_of_weights_is_refused_or_harmless(
    folders: dict[str, Path], at: int, value: int
) -> None:
    content = bytearray((folders["encoder"] / "model.safetensors").read_bytes())
    content[at] = value
    tried(folders["encoder"], "model.safetensors", bytes(content))
