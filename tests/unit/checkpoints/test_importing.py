from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from quickthaw_platform.checkpoints.importers import package
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.importers.source import Fetching, checkpoint_name, spdx
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.errors import InvalidRequest
from tests.unit.checkpoints.models import TEMPLATE, save_bert, save_llama


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "checkpoints")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "Tiny Llama"


@pytest.mark.parametrize(
    "shard_size",
    [
        "1GB",  # one safetensors file
        "2KB",  # several, with an index
    ],
)
def test_a_directory_becomes_a_checkpoint_with_the_same_weights(
    store: DiskStore, source: Path, shard_size: str
) -> None:
    model = save_llama(source, shard_size=shard_size)
    checkpoint = import_checkpoint(str(source), store).checkpoint
    manifest = Manifest.of(checkpoint)
    weights = load_file(checkpoint.path / manifest.weights[0].path)
    for alias, tensor in manifest.tied.items():
        weights[alias] = weights[tensor]
    expected = model.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert manifest.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert (manifest.name, manifest.task, manifest.architecture) == ("tiny-llama", "generate", "LlamaForCausalLM")
    assert (manifest.dtype, manifest.context_tokens, manifest.source) == ("float32", 64, "directory:Tiny Llama")


def test_weights_in_bin_files_are_read_without_running_code(store: DiskStore, source: Path) -> None:
    model = save_llama(source, tied=False)
    (source / "model.safetensors").unlink()
    torch.save(model.state_dict(), source / "pytorch_model.bin")
    checkpoint = import_checkpoint(str(source), store).checkpoint
    weights = load_file(checkpoint.path / "weights-0.safetensors")
    assert torch.equal(weights["lm_head.weight"], model.state_dict()["lm_head.weight"])


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of the checkpoint ran')",)


def test_a_pickle_with_code_in_it_is_refused(store: DiskStore, source: Path) -> None:
    save_llama(source)
    (source / "model.safetensors").unlink()
    torch.save({"lm_head.weight": _Evil()}, source / "pytorch_model.bin")
    with pytest.raises(InvalidRequest, match="cannot read"):
        import_checkpoint(str(source), store)
    assert not list(store.root.glob("*"))


def test_missing_weights_are_refused_instead_of_made_up(store: DiskStore, source: Path) -> None:
    model = save_llama(source, tied=False)
    (source / "model.safetensors").unlink()
    state = model.state_dict()
    del state["model.layers.3.mlp.up_proj.weight"]
    torch.save(state, source / "pytorch_model.bin")
    with pytest.raises(InvalidRequest, match=r"1 of the model's weights .*model\.layers\.3\.mlp\.up_proj\.weight"):
        import_checkpoint(str(source), store)


def test_importing_twice_is_a_no_op_and_reads_no_model(
    store: DiskStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_llama(source)
    first = import_checkpoint(str(source), store)
    monkeypatch.setattr("quickthaw_platform.checkpoints.importers.directory.load", None)
    second = import_checkpoint(str(source), store)
    assert (first.existed, second.existed) == (False, True)
    assert second.checkpoint.id == first.checkpoint.id


def test_a_changed_source_is_another_checkpoint_of_the_same_name(store: DiskStore, source: Path) -> None:
    save_llama(source)
    first = import_checkpoint(str(source), store)
    (source / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    second = import_checkpoint(str(source), store)
    assert not second.existed
    assert store.find("tiny-llama").id == second.checkpoint.id != first.checkpoint.id


def test_weights_can_be_stored_in_another_type(store: DiskStore, source: Path) -> None:
    save_llama(source)
    checkpoint = import_checkpoint(str(source), store, name="half", dtype="bfloat16").checkpoint
    weights = load_file(checkpoint.path / "weights-0.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert json.loads((checkpoint.path / "config.json").read_text())["dtype"] == "bfloat16"


def test_the_tokenizer_keeps_its_template_and_neither_cuts_nor_pads(store: DiskStore, source: Path) -> None:
    save_llama(source)
    checkpoint = import_checkpoint(str(source), store).checkpoint
    saved = json.loads((checkpoint.path / "tokenizer.json").read_text())
    assert (saved["truncation"], saved["padding"]) == (None, None)
    assert (checkpoint.path / "chat_template.jinja").read_text() == TEMPLATE
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path)
    assert tokenizer("hello world hello").input_ids == [3, 4, 3]


def test_an_encoder_is_for_embeddings_and_its_card_names_the_licence(store: DiskStore, tmp_path: Path) -> None:
    save_bert(tmp_path / "bert")
    manifest = Manifest.of(import_checkpoint(str(tmp_path / "bert"), store).checkpoint)
    assert (manifest.task, manifest.architecture, manifest.license) == ("embed", "BertModel", "Apache-2.0")
    assert manifest.context_tokens == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, "neither a decoder-only"),
        ({"architectures": None}, "architecture unknown"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"quantised \(gptq\)"),
    ],
)
def test_models_that_cannot_be_served_are_refused_with_the_reason(
    store: DiskStore, source: Path, change: dict[str, object], message: str
) -> None:
    save_llama(source)
    config = json.loads((source / "config.json").read_text()) | change
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidRequest, match=message):
        import_checkpoint(str(source), store)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", "does not exist"),
        ("pypi:not a package", "is not a package"),
        ("pypi:", "does not exist"),
    ],
)
def test_a_source_that_is_not_there_is_named(store: DiskStore, text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        import_checkpoint(text, store)


def test_a_directory_with_two_models_asks_for_one(store: DiskStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "both" / name).mkdir(parents=True)
        (tmp_path / "both" / name / f"{name}.gguf").touch()
    with pytest.raises(InvalidRequest, match=r"a/a\.gguf, b/b\.gguf"):
        import_checkpoint(str(tmp_path / "both"), store)


@pytest.mark.parametrize("name", ["tiny-q8", "tiny.bf16", "tiny-q4_k_m", "tiny-00001-of-00002", "t" * 63])
def test_a_name_that_is_given_is_taken_as_it_is(store: DiskStore, source: Path, name: str) -> None:
    save_llama(source)
    import_checkpoint(str(source), store, name=name)
    assert [checkpoint.manifest["name"] for checkpoint in store.list()] == [name]


@pytest.mark.parametrize("name", ["Upper", "with space", "-dash", "", "line\n", "t" * 64])
def test_a_name_that_cannot_stand_in_a_url_is_refused(store: DiskStore, source: Path, name: str) -> None:
    save_llama(source)
    with pytest.raises(InvalidRequest, match="name"):
        import_checkpoint(str(source), store, name=name)


def test_an_unknown_dtype_lists_the_known_ones(store: DiskStore, source: Path) -> None:
    with pytest.raises(InvalidRequest, match="bfloat16, float16, float32"):
        import_checkpoint(str(source), store, dtype="int4")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1", "smollm2-135m-instruct"),  # what quantises is not part of the name
        ("Llama-3.2-1B.IQ3_XXS", "llama-3.2-1b"),
        ("phi-4.BF16", "phi-4"),
        ("my model (final)", "my-model-final"),
    ],
)
def test_names_are_made_of_file_names(text: str, name: str) -> None:
    assert checkpoint_name(text) == name


def test_licences_are_spelled_as_spdx_does() -> None:
    assert [spdx(x) for x in ("apache-2.0", "mit", "llama3", None)] == ["Apache-2.0", "MIT", "llama3", None]


def wheel_of(directory: Path, folder: Path) -> Path:
    """Make a wheel that ships the model in `directory` and whose code must never run."""
    folder.mkdir()
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    facts = "tiny_model-1.0.dist-info"
    files = {f"tiny_model/model/{file.name}": file.read_bytes() for file in directory.iterdir()}
    files["tiny_model/__init__.py"] = b"raise SystemExit('code of the package ran')\n"
    files[f"{facts}/METADATA"] = b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nLicense: MIT\n"
    files[f"{facts}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    listing = "".join(f"{name},,\n" for name in (*files, f"{facts}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{facts}/RECORD", listing)
    return wheel


def test_a_package_that_is_not_installed_is_downloaded_and_only_unpacked(
    store: DiskStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_llama(source)
    folder = tmp_path / "wheels"
    wheel_of(source, folder)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    manifest = Manifest.of(import_checkpoint("pypi:tiny-model==1.0", store).checkpoint)
    assert (manifest.name, manifest.license, manifest.source) == ("tiny-model", "MIT", "pypi:tiny-model==1.0")


def test_a_package_that_nobody_has_is_reported_with_pips_own_words(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InvalidRequest, match=r"cannot be downloaded: .*no-such-model"):
        import_checkpoint("pypi:no-such-model==1.0", store)


def test_an_installed_package_without_a_model_says_so(store: DiskStore) -> None:
    with pytest.raises(InvalidRequest, match="holds no model"):
        import_checkpoint("pypi:click", store)


def test_another_version_than_the_installed_one_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def download(requirement: str, _folder: Path) -> Path:
        asked.append(requirement)
        raise InvalidRequest("no network")

    monkeypatch.setattr(package, "_download", download)
    with pytest.raises(InvalidRequest), package.locate_package("click==0.0.1", Fetching(tmp_path, print)):
        pass
    assert asked == ["click==0.0.1"]
