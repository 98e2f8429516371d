"""Imports in partitions and in eight bits, and from beyond this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from quickthaw_platform.checkpoints import layout
from quickthaw_platform.checkpoints.importers import download
from quickthaw_platform.checkpoints.importers.importing import Imported, import_checkpoint
from quickthaw_platform.checkpoints.importers.quantizing import dequantize, quantize
from quickthaw_platform.checkpoints.manifest import Manifest, weights_paths
from quickthaw_platform.checkpoints.remote.directory import DirectoryStore
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint, RemoteObject
from quickthaw_platform.errors import InvalidRequest, RemoteUnavailable
from tests.unit.checkpoints.models import WORDS, save_bert, save_llama, save_tokenizer

TEXT = "hello world hello hello world " * 5


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "checkpoints")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    save_llama(tmp_path / "tiny")
    return tmp_path / "tiny"


def weights_of(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return {name: tensor for file in weights_paths(checkpoint) for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("axis", [0, 1])
def test_quantising_errs_by_half_a_step_at_most_in_each_channel(axis: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(7, 5) * torch.logspace(-3, 3, 7)[:, None]
    weight[2] = 0
    weight = weight if axis == 0 else weight.t().contiguous()
    numbers, scale = quantize(weight.bfloat16(), axis)
    assert (numbers.dtype, numbers.shape, scale.dtype, scale.shape) == (torch.int8, weight.shape, torch.float32, (7,))
    error = (dequantize(numbers, scale, axis) - weight.bfloat16().float()).abs()
    assert bool((error <= scale.unsqueeze(1 - axis) * 0.5001).all())


def test_large_weights_are_stored_in_eight_bits_and_tied_ones_stay_tied(store: DiskStore, source: Path) -> None:
    imported = import_checkpoint(str(source), store, quantization="int8", text=TEXT)
    manifest, weights = Manifest.of(imported.checkpoint), weights_of(imported.checkpoint)
    original = load_file(source / "model.safetensors")
    assert (manifest.quantization, manifest.dtype) == ("int8", "float32")
    assert manifest.tied == {
        "lm_head.weight": "model.embed_tokens.weight",
        "lm_head.weight_scale": "model.embed_tokens.weight_scale",
    }
    for name, tensor in original.items():
        if "norm" in name:
            assert torch.equal(weights[name], tensor)
        else:
            numbers, scale = quantize(tensor, 0)
            assert torch.equal(weights[name], numbers)
            assert torch.equal(weights[f"{name}_scale"], scale)


def test_the_cost_is_the_perplexity_of_the_stored_weights(store: DiskStore, source: Path) -> None:
    cost = import_checkpoint(str(source), store, quantization="int8", text=TEXT).cost
    assert cost is not None
    assert cost.before != cost.after
    assert abs(cost.change_percent) < 5
    assert import_checkpoint(str(source), store, quantization="int8").cost is None  # it was there


def test_layers_that_store_input_by_output_are_scaled_by_column(store: DiskStore, tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=len(WORDS), n_embd=8, n_layer=2, n_head=2, n_positions=64)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "gpt")
    save_tokenizer(tmp_path / "gpt")
    weights = weights_of(import_checkpoint(str(tmp_path / "gpt"), store, quantization="int8", text=TEXT).checkpoint)
    assert weights["transformer.h.0.attn.c_attn.weight"].shape == (8, 24)
    assert weights["transformer.h.0.attn.c_attn.weight_scale"].shape == (24,)
    assert weights["transformer.wpe.weight"].dtype == torch.float32


def test_an_encoder_is_quantised_without_a_perplexity(store: DiskStore, tmp_path: Path) -> None:
    save_bert(tmp_path / "bert")
    imported = import_checkpoint(str(tmp_path / "bert"), store, quantization="int8")
    assert (imported.cost, imported.checkpoint.manifest["quantization"]) == (None, "int8")


def test_partitions_hold_the_whole_model_and_other_numbers_are_other_checkpoints(
    store: DiskStore, source: Path
) -> None:
    one, four = (import_checkpoint(str(source), store, partitions=count) for count in (1, 4))
    assert len(weights_paths(four.checkpoint)) == 4
    assert weights_of(four.checkpoint).keys() == weights_of(one.checkpoint).keys()
    assert [import_checkpoint(str(source), store, partitions=count).existed for count in (1, 4, 2)] == [
        True, True, False,
    ]  # fmt: skip


def test_more_partitions_than_layers_are_known_the_second_time(store: DiskStore, source: Path) -> None:
    assert [import_checkpoint(str(source), store, partitions=60).existed for _ in range(2)] == [False, True]


def test_a_safetensors_file_is_imported_with_what_lies_beside_it(store: DiskStore, source: Path) -> None:
    (source / "model.safetensors").rename(source / "my-weights.safetensors")
    (source / "other.safetensors").write_bytes(b"is not looked at")
    imported = import_checkpoint(str(source / "my-weights.safetensors"), store)
    manifest = Manifest.of(imported.checkpoint)
    assert (manifest.name, manifest.source) == ("my-weights", "safetensors:my-weights.safetensors")


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json"])
def test_a_safetensors_file_alone_says_what_it_needs(store: DiskStore, source: Path, missing: str) -> None:
    (source / missing).unlink()
    with pytest.raises(InvalidRequest, match=r"put the model's config\.json and tokenizer .* beside it"):
        import_checkpoint(str(source / "model.safetensors"), store)


def fetched(store: DiskStore, url: str) -> tuple[Imported, list[tuple[int, int | None]]]:
    """Import, and return what the bar showed of the download."""
    seen: list[tuple[int, int | None]] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "fetch":
            seen.append((done, total))

    return import_checkpoint(url, store, progress=progress), seen


def test_a_model_in_a_remote_store_is_fetched_once(store: DiskStore, source: Path) -> None:
    (source / "unused.bin").write_bytes(b"a second copy of the weights")
    first, seen = fetched(store, source.as_uri())
    second, again = fetched(store, source.as_uri())
    manifest = Manifest.of(first.checkpoint)
    assert (manifest.name, manifest.source) == ("tiny", source.as_uri())
    total = sum(file.stat().st_size for file in source.iterdir() if file.name != "unused.bin")
    assert seen[-1] == (total, total)
    assert (second.existed, again) == (True, [])


def test_a_replaced_model_is_fetched_anew(store: DiskStore, source: Path) -> None:
    first, _ = fetched(store, source.as_uri())
    (source / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    second, _ = fetched(store, source.as_uri())
    assert first.checkpoint.id != second.checkpoint.id
    (folder,) = (store.root.parent / "downloads").iterdir()
    assert len(list(folder.iterdir())) == 1


def test_a_download_that_broke_off_goes_on_inside_the_file(
    store: DiskStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PIECE_BYTES", 1000)
    whole = DirectoryStore.get_range
    asked: list[int] = []
    again: list[bool] = []

    def get_range(self: DirectoryStore, found: RemoteObject, begin: int, into: memoryview, stop: Any) -> None:
        if found.key == "model.safetensors":
            asked.append(begin)
            if len(asked) == 5 and not again:
                raise RemoteUnavailable("the connection broke off")
        whole(self, found, begin, into, stop)

    monkeypatch.setattr(DirectoryStore, "get_range", get_range)
    with pytest.raises(RemoteUnavailable):
        fetched(store, source.as_uri())
    assert asked == [0, 1000, 2000, 3000, 4000]
    asked.clear()
    again.append(True)
    imported, _ = fetched(store, source.as_uri())
    assert asked[0] == 3000  # the last piece before may have been lost in a power cut
    assert torch.equal(weights_of(imported.checkpoint)["model.norm.weight"], torch.ones(8))


@pytest.mark.parametrize("key", ["../config.json", "/etc/config.json", "a/../../config.json", "a\\..\\config.json"])
def test_a_key_that_leads_out_of_the_folder_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match="leads out of it"):
        download.wanted_objects([RemoteObject(key, 1, "e")], "s3://bucket")


def test_a_remote_folder_without_a_model_says_so(store: DiskStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="holds no model"):
        import_checkpoint((tmp_path / "empty").as_uri(), store)


def test_without_a_network_the_hub_is_named_and_a_way_around_it(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InvalidRequest, match=r"org/name cannot be fetched from .*hf download org/name --local-dir"):
        import_checkpoint("hf:org/name", store)


def test_a_proxy_on_the_way_to_the_hub_is_named_and_a_hub_of_this_machine_needs_none(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://hub.test")
    with pytest.raises(InvalidRequest, match=r"through the proxy http://127\.0\.0\.1:9 \(HTTP_PROXY"):
        import_checkpoint("hf:org/name", store)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.2:9")
    with pytest.raises(InvalidRequest, match=r"from http://127\.0\.0\.2:9: (?!.*proxy)"):
        import_checkpoint("hf:org/name", store)


def test_a_repository_is_written_as_organisation_and_name(store: DiskStore) -> None:
    with pytest.raises(InvalidRequest, match="write hf:org/name"):
        import_checkpoint("hf:name", store)


def test_a_number_of_partitions_is_checked(store: DiskStore, source: Path) -> None:
    with pytest.raises(InvalidRequest, match="1 to 64"):
        import_checkpoint(str(source), store, partitions=0)


def test_scales_stand_before_the_weights_that_keep_their_order(store: DiskStore, source: Path) -> None:
    checkpoint = import_checkpoint(str(source), store, quantization="int8", text=TEXT).checkpoint
    entries = list(weights_of(checkpoint))
    numbers = [name for name, tensor in weights_of(checkpoint).items() if tensor.dtype == torch.int8]
    assert set(numbers) <= set(entries)
    assert numbers == layout.execution_order(numbers)
