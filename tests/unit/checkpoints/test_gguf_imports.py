"""GGUF files imported: kept as they are, or dequantised where that is asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import pytest
from gguf import GGMLQuantizationType

from quickthaw_platform.checkpoints.checksums import NEW_ALGORITHM, checksum
from quickthaw_platform.checkpoints.importers.hub import chosen_ggufs
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.importers.source import find_in
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, Manifest, weights_paths
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.verifying import find_faults
from quickthaw_platform.errors import CheckpointBroken, InvalidRequest
from tests.unit.checkpoints.gguf_files import (
    CONTEXT_TOKENS,
    TEMPLATE,
    TOKENS,
    write_adapter,
    write_bare,
    write_llama,
)
from tests.unit.checkpoints.models import save_llama


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "checkpoints")


def imported(source: Path, store: DiskStore, **options: object) -> Manifest:
    return Manifest.of(import_checkpoint(str(source), store, **options).checkpoint)  # type: ignore[arg-type]


def test_a_file_is_kept_byte_for_byte_and_each_chunk_has_its_checksum(store: DiskStore, tmp_path: Path) -> None:
    (file,) = write_llama(tmp_path / "Tiny.Q8_0.gguf")
    manifest = imported(file, store)
    (weights,) = manifest.weights
    content = file.read_bytes()
    stored = store.find("tiny")
    assert [path.read_bytes() for path in weights_paths(stored)] == [content]
    assert (weights.path, weights.bytes, weights.chunks) == (
        "weights.gguf",
        len(content),
        (checksum(content, NEW_ALGORITHM),),
    )
    assert content[weights.data_offset - 32 :].find(b"\0") >= 0
    assert (manifest.weights_format, manifest.quantization, manifest.dtype) == ("gguf", "Q8_0", "bfloat16")
    assert (manifest.name, manifest.task, manifest.license, manifest.source) == (
        "tiny", "generate", "MIT", "gguf:Tiny.Q8_0.gguf"
    )  # fmt: skip
    assert (manifest.architecture, manifest.context_tokens) == ("LlamaForCausalLM", CONTEXT_TOKENS)
    assert manifest.gguf_architecture == "llama"
    assert manifest.model_copy(update={"gguf_architecture": None}).id == manifest.id
    assert (manifest.tensors, manifest.bytes) == (20, sum(t.n_bytes for t in gguf.GGUFReader(file).tensors))


def test_transformers_finds_the_same_configuration_and_tokenizer_as_in_a_dense_import(
    store: DiskStore, tmp_path: Path
) -> None:
    (file,) = write_llama(tmp_path / "tiny.gguf")
    kept, dense = imported(file, store), imported(file, store, name="dense", dtype="bfloat16")
    assert kept.files == dense.files
    assert (dense.weights_format, dense.quantization) == ("safetensors", None)
    folder = store.find("tiny").path
    assert (folder / "chat_template.jinja").read_text() == TEMPLATE
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == len(TOKENS)


def test_a_second_import_is_a_no_op_and_other_ways_to_store_it_are_other_checkpoints(
    store: DiskStore, tmp_path: Path
) -> None:
    (file,) = write_llama(tmp_path / "tiny.gguf")
    ways: list[dict[str, object]] = [{}, {"dtype": "bfloat16"}, {"dtype": "float32"}, {"partitions": 2}]
    first = [import_checkpoint(str(file), store, **way) for way in ways]  # type: ignore[arg-type]
    again = [import_checkpoint(str(file), store, **way) for way in ways]  # type: ignore[arg-type]
    assert [done.existed for done in first] == [False] * 4
    assert [done.existed for done in again] == [True] * 4
    assert len({done.checkpoint.id for done in first}) == 4
    assert [Manifest.of(done.checkpoint).weights_format for done in first] == ["gguf"] + ["safetensors"] * 3


@pytest.mark.parametrize(
    ("kind", "file_type", "quantization", "dtype"),
    [
        (GGMLQuantizationType.Q4_1, gguf.LlamaFileType.MOSTLY_Q4_1, "Q4_1", "bfloat16"),
        (GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q4_K_M, "Q4_K_M", "bfloat16"),  # as the file says it
        (GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16, "BF16", "bfloat16"),
        (GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16, "F16", "float16"),
        (GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32, "F32", "float32"),
        (GGMLQuantizationType.Q5_0, None, "Q5_0", "bfloat16"),  # the file says nothing: most of its bytes
        (GGMLQuantizationType.Q8_0, 1024 + 7, "Q8_0", "bfloat16"),  # marked as guessed
        (GGMLQuantizationType.Q5_1, 999, "Q5_1", "bfloat16"),  # newer than the library
    ],
)
def test_the_file_type_is_named(
    store: DiskStore, tmp_path: Path, kind: GGMLQuantizationType, file_type: int | None, quantization: str, dtype: str
) -> None:
    (file,) = write_llama(tmp_path / "tiny.gguf", kind, file_type=file_type)
    manifest = imported(file, store)
    assert (manifest.quantization, manifest.dtype) == (quantization, dtype)


def test_a_type_that_is_newer_than_the_library_is_kept_all_the_same(store: DiskStore, tmp_path: Path) -> None:
    file = write_bare(tmp_path / "new.gguf", "llama", llama__context_length=8)
    content = file.read_bytes()
    described = (
        b"token_embd.weight" + (2).to_bytes(4, "little") + (32).to_bytes(8, "little") + (4).to_bytes(8, "little")
    )
    at = content.index(described) + len(described)
    file.write_bytes(content[:at] + (250).to_bytes(4, "little") + content[at + 4 :])
    manifest = imported(file, store)
    assert (manifest.quantization, manifest.bytes, manifest.files) == ("type-250", 4 * 32 * 4, ())


def test_all_parts_of_a_split_file_are_kept_in_order(store: DiskStore, tmp_path: Path) -> None:
    parts = write_llama(tmp_path / "tiny.gguf", parts=3)
    manifest = imported(parts[0], store)
    assert [file.path for file in manifest.weights] == [f"weights-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    stored = store.find("tiny")
    assert [path.read_bytes() for path in weights_paths(stored)] == [part.read_bytes() for part in parts]
    (tmp_path / "one").mkdir()
    assert manifest.files == imported(write_llama(tmp_path / "one" / "one.gguf")[0], store).files


def test_any_part_or_the_directory_stands_for_the_whole(store: DiskStore, tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    parts = write_llama(tmp_path / "split" / "tiny.gguf", parts=3)
    first, by_part, by_folder = (import_checkpoint(str(source), store) for source in (*parts[:2], tmp_path / "split"))
    assert (first.existed, by_part.existed, by_folder.existed) == (False, True, True)


def test_a_missing_part_is_named(store: DiskStore, tmp_path: Path) -> None:
    parts = write_llama(tmp_path / "tiny.gguf", parts=3)
    parts[1].unlink()
    with pytest.raises(InvalidRequest, match=r"lacks tiny-00002-of-00003\.gguf; all 3 parts"):
        import_checkpoint(str(parts[0]), store)
    with pytest.raises(InvalidRequest, match=r"lacks tiny-00002-of-00003\.gguf"):
        import_checkpoint(str(tmp_path), store)


def test_parts_of_other_splits_under_the_right_names_are_refused(store: DiskStore, tmp_path: Path) -> None:
    parts = write_llama(tmp_path / "tiny.gguf", parts=3)
    shutil.copyfile(parts[2], parts[1])
    with pytest.raises(InvalidRequest, match="says that it is part 3 of 3, not 2 of 3"):
        import_checkpoint(str(parts[0]), store)


def test_a_split_file_can_be_dequantised(store: DiskStore, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    whole = imported(write_llama(tmp_path / "one" / "one.gguf")[0], store, dtype="float32")
    split = imported(write_llama(tmp_path / "tiny.gguf", parts=3)[0], store, dtype="float32")
    assert [file.sha256 for file in split.weights] == [file.sha256 for file in whole.weights]


def test_a_model_that_transformers_does_not_know_is_kept_without_its_files(store: DiskStore, tmp_path: Path) -> None:
    (file,) = write_llama(tmp_path / "new.gguf", architecture="rwkv7")
    manifest = imported(file, store)
    assert (manifest.task, manifest.architecture, manifest.files) == ("generate", "rwkv7", ())
    assert {path.name for path in store.find("new").path.iterdir()} == {"manifest.json", "weights.gguf"}
    with pytest.raises(InvalidRequest, match="transformers cannot read"):
        import_checkpoint(str(file), store, dtype="bfloat16")


@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [
        ("bert", {}),  # an encoder, whatever it says
        ("qwen3", {"qwen3.pooling_type": 3}),  # a decoder that embeds by its last token
    ],
)
def test_a_file_with_a_pooling_embeds(
    store: DiskStore, tmp_path: Path, architecture: str, pooling: dict[str, int]
) -> None:
    facts = {f"{architecture}.context_length": 128, **pooling}
    manifest = imported(write_bare(tmp_path / "m.gguf", architecture, **facts), store)
    assert (manifest.task, manifest.context_tokens, manifest.files) == ("embed", 128, ())


def test_a_lora_is_an_adapter(store: DiskStore, tmp_path: Path) -> None:
    manifest = imported(write_adapter(tmp_path / "lora.gguf"), store)
    assert (manifest.task, manifest.architecture, manifest.context_tokens) == ("adapter", "llama", 0)
    assert manifest.gguf_architecture == "llama"
    assert (manifest.tensors, manifest.quantization, manifest.files) == (2, "F32", ())
    with pytest.raises(InvalidRequest, match="only generating models are dequantised"):
        import_checkpoint(str(tmp_path / "lora.gguf"), store, dtype="bfloat16")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"general.type": "mmproj"}, "of type 'mmproj'"),  # of a model that sees
        ({"general.type": "adapter", "adapter.type": "control_vector"}, "not a LoRA"),
        ({"llama.pooling_type": 4, "llama.context_length": 8}, "ranks documents"),
        ({}, "names no context length"),
    ],
)
def test_what_nobody_could_serve_is_refused_with_the_reason(
    store: DiskStore, tmp_path: Path, facts: dict[str, int | str], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        import_checkpoint(str(write_bare(tmp_path / "m.gguf", "llama", **facts)), store)
    assert not list(store.root.glob("*"))


def test_a_file_without_tensors_holds_no_weights(store: DiskStore, tmp_path: Path) -> None:
    file = tmp_path / "vocab.gguf"
    file.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(16 + 64))
    with pytest.raises(InvalidRequest, match="holds no weights"):
        import_checkpoint(str(file), store)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_a_file_whose_end_is_lost_is_refused(store: DiskStore, tmp_path: Path, dtype: str | None) -> None:
    (file,) = write_llama(tmp_path / "tiny.gguf")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointBroken, match=r"tiny\.gguf is not a whole GGUF file: it ends within tensor"):
        import_checkpoint(str(file), store, dtype=dtype)


def test_a_link_is_imported_under_its_own_name(store: DiskStore, tmp_path: Path) -> None:
    (file,) = write_llama(tmp_path / "blob.gguf")
    (tmp_path / "tiny.gguf").symlink_to(file.rename(tmp_path / "0123abcd"))
    assert imported(tmp_path / "tiny.gguf", store).name == "tiny"


def test_verifying_finds_a_wrong_chunk_and_a_wrong_header(store: DiskStore, tmp_path: Path) -> None:
    (file,) = write_llama(tmp_path / "tiny.gguf")
    manifest, folder = imported(file, store), store.find("tiny").path
    assert find_faults(folder, manifest, lambda _size: None) == []
    stored = folder / "weights.gguf"
    content = bytearray(stored.read_bytes())
    content[3] ^= 1
    stored.write_bytes(content)
    faults = [(fault.file, fault.chunk, fault.what) for fault in find_faults(folder, manifest, lambda _size: None)]
    assert faults == [
        ("weights.gguf", 0, "has another checksum than recorded"),
        ("weights.gguf", None, "is not a whole GGUF file: it does not begin with GGUF"),
    ]


def test_ids_of_dense_checkpoints_are_what_they_were_before(store: DiskStore, tmp_path: Path) -> None:
    save_llama(tmp_path / "tiny")
    checkpoint = import_checkpoint(str(tmp_path / "tiny"), store).checkpoint
    older = {name: value for name, value in checkpoint.manifest.items() if name != "weights_format"}
    assert Manifest.model_validate(older).id == checkpoint.id


def test_a_large_file_has_a_checksum_for_each_chunk(store: DiskStore, tmp_path: Path) -> None:
    file = write_bare(tmp_path / "m.gguf", "llama", llama__context_length=8)
    with file.open("r+b") as opened:
        opened.truncate(CHUNK_BYTES + 5)  # padding behind the last tensor is kept too
    (weights,) = imported(file, store).weights
    content = file.read_bytes()
    pieces = content[:CHUNK_BYTES], content[CHUNK_BYTES:]
    assert weights.chunks == tuple(checksum(piece, NEW_ALGORITHM) for piece in pieces)


HUB = ["README.md", "a.Q4_K_M.gguf", "a.Q8_0.gguf", "big/a-BF16-00002-of-00002.gguf", "big/a-BF16-00001-of-00002.gguf"]


@pytest.mark.parametrize(
    ("quantisation", "chosen"),
    [
        ("Q8_0", ["a.Q8_0.gguf"]),
        ("q4_k_m", ["a.Q4_K_M.gguf"]),  # as it is written elsewhere
        ("BF16", ["big/a-BF16-00001-of-00002.gguf", "big/a-BF16-00002-of-00002.gguf"]),  # all parts, in order
    ],
)
def test_of_a_repositorys_files_the_quantisation_chooses(quantisation: str, chosen: list[str]) -> None:
    assert chosen_ggufs(HUB, "org/a", quantisation) == chosen


@pytest.mark.parametrize("quantisation", [None, "Q2_K", "0"])
def test_where_none_or_several_are_meant_all_are_listed(quantisation: str | None) -> None:
    with pytest.raises(InvalidRequest, match=r"one must be chosen.*there are: a\.Q4_K_M, a\.Q8_0, a-BF16"):
        chosen_ggufs(HUB, "org/a", quantisation)


def test_a_repository_of_safetensors_is_fetched_as_that() -> None:
    assert chosen_ggufs(["model.safetensors", "a.Q8_0.gguf"], "org/a", None) == []
    assert chosen_ggufs(["a.Q8_0.gguf"], "org/a", None) == ["a.Q8_0.gguf"]
    assert chosen_ggufs(["config.json"], "org/a", None) == []


def test_a_projector_for_images_is_no_model_of_its_own(store: DiskStore, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (file,) = write_llama(tmp_path / "m" / "tiny.gguf")
    write_bare(tmp_path / "m" / "mmproj-tiny.gguf", "clip", general__type="mmproj")
    write_bare(tmp_path / "m" / "older.gguf", "clip")
    write_bare(tmp_path / "m" / "tiny.imatrix.gguf", "llama", general__type="imatrix")
    assert find_in(tmp_path / "m") == ("gguf", file)
    for other in ("mmproj-tiny.gguf", "older.gguf"):
        with pytest.raises(InvalidRequest, match="of type 'mmproj'"):
            imported(tmp_path / "m" / other, store)
    assert chosen_ggufs(["mmproj-F16.gguf", "a.gguf", "v/a-mmproj-f16.gguf"], "org/a", None) == ["a.gguf"]


def test_a_whole_file_with_the_name_of_a_part_is_whole(store: DiskStore, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (file,) = write_llama(tmp_path / "m" / "tiny-00001-of-00002.gguf")
    assert len(imported(file, store).weights) == 1
    assert find_in(tmp_path / "m") == ("gguf", file)


def test_parts_with_names_of_their_own_are_found_by_what_they_say(store: DiskStore, tmp_path: Path) -> None:
    parts = write_llama(tmp_path / "tiny.gguf", parts=3)
    contents = [part.read_bytes() for part in parts]
    named = [part.rename(tmp_path / name) for part, name in zip(parts, ("c.gguf", "a.gguf", "b.gguf"), strict=True)]
    write_llama(tmp_path / "other.gguf")
    found = import_checkpoint(str(named[1]), store, name="tiny").checkpoint
    assert [path.read_bytes() for path in weights_paths(found)] == contents
    again = named[2].with_name("d.gguf")
    again.write_bytes(named[2].read_bytes())
    with pytest.raises(InvalidRequest, match=r"b\.gguf and .*d\.gguf both say that they are part 3 of 3"):
        imported(named[0], store)
    again.unlink()
    named[2].unlink()
    with pytest.raises(InvalidRequest, match="lacks part 3 of 3; all 3 parts"):
        imported(named[0], store)
