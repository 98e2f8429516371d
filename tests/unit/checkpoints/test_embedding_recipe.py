"""What is read of sentence-transformers' files: computed, or refused by name; never left out in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe, Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import InvalidRequest
from tests.unit.checkpoints.models import save_bert

OLD = "sentence_transformers.models."
NEW = "sentence_transformers.sentence_transformer.modules."
STEPS = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]


def modules(steps: list[tuple[str, str]], package: str = OLD) -> list[dict[str, Any]]:
    return [{"idx": i, "name": str(i), "path": path, "type": package + kind} for i, (path, kind) in enumerate(steps)]


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """An encoder with the usual recipe: mean, length 1."""
    source = tmp_path / "encoder"
    save_bert(source)
    write(source / "modules.json", modules(STEPS))
    write(source / "1_Pooling" / "config.json", {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True})
    return source


def imported(source: Path) -> Checkpoint:
    return import_checkpoint(str(source), DiskStore(source.parent / "checkpoints"), name="encoder").checkpoint


def recipe(source: Path) -> EmbeddingRecipe | None:
    return Manifest.of(imported(source)).embedding


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        pytest.param({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",), id="older name"),
        pytest.param({"pooling_mode": "cls"}, ("cls",), id="newer name"),
        pytest.param({"embedding_dimension": 8, "pooling_mode": "max", "include_prompt": True}, ("max",), id="max"),
        pytest.param({"pooling_mode": "lasttoken"}, ("lasttoken",), id="last token"),
        pytest.param({"pooling_mode": ["mean", "cls"]}, ("mean", "cls"), id="a list, in its order"),
        pytest.param(
            {"pooling_mode_max_tokens": True, "pooling_mode_cls_token": True}, ("cls", "max"), id="older, fixed order"
        ),
        pytest.param({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, ("cls",), id="the newer name wins"),
    ],
)
def test_the_way_of_pooling_is_kept(encoder: Path, config: dict[str, Any], pooling: tuple[str, ...]) -> None:
    write(encoder / "1_Pooling" / "config.json", config)
    found = recipe(encoder)
    assert found is not None
    assert (found.pooling, found.normalize) == (pooling, True)


@pytest.mark.parametrize("package", [OLD, NEW])
def test_without_a_step_that_normalises_vectors_keep_their_length(encoder: Path, package: str) -> None:
    write(encoder / "modules.json", modules(STEPS[:2], package))
    assert recipe(encoder) == EmbeddingRecipe(pooling=("mean",), normalize=False)


def test_the_usual_recipe_needs_no_word_in_the_manifest(encoder: Path) -> None:
    assert recipe(encoder) is None


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        pytest.param("modules.json", modules([*STEPS[:2], ("2_Dense", "Dense")]), "2_Dense", id="a dense layer"),
        pytest.param("modules.json", modules([*STEPS[:2], ("2_LayerNorm", "LayerNorm")]), "LayerNorm", id="a norm"),
        pytest.param("modules.json", modules([("", "StaticEmbedding")]), "StaticEmbedding", id="no transformer"),
        pytest.param("modules.json", modules(STEPS, "custom_st."), "custom_st", id="code of its own"),
        pytest.param("modules.json", modules([STEPS[0], STEPS[2], STEPS[1]]), "Normalize, Pooling", id="another order"),
        pytest.param("modules.json", modules(STEPS[:1]), "Transformer", id="no pooling"),
        pytest.param("modules.json", {"a": 1}, "modules.json", id="no list"),
        pytest.param("modules.json", modules([STEPS[0], ("../1", "Pooling")]), r"\.\./1", id="a path out"),
        pytest.param("modules.json", modules([STEPS[0], ("9_Pooling", "Pooling")]), "9_Pooling", id="missing"),
        pytest.param("1_Pooling/config.json", {"pooling_mode": "attention"}, "attention", id="an unknown pooling"),
        pytest.param("1_Pooling/config.json", {"pooling_mode": []}, "pooling_mode", id="no pooling at all"),
        pytest.param("1_Pooling/config.json", {"pooling_mode_new": True}, "pooling_mode_new", id="an unknown setting"),
        pytest.param("2_Normalize/config.json", {"module_input_name": "token_embeddings"}, "module_input_name", id="n"),
        pytest.param(
            "config_sentence_transformers.json",
            {"prompts": {"query": "query: "}, "default_prompt_name": "query"},
            "default_prompt_name",
            id="a prompt before each text",
        ),
        pytest.param("sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case", id="lower case"),
        pytest.param("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task", id="a task"),
        pytest.param("sentence_bert_config.json", {"max_seq_length": "long"}, "max_seq_length", id="no number"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(encoder: Path, file: str, content: Any, names: str) -> None:
    write(encoder / file, content)
    with pytest.raises(InvalidRequest, match=names):
        imported(encoder)


@pytest.mark.parametrize(
    "config",
    [{"prompts": {"query": "query: "}, "default_prompt_name": None}, {"prompts": {}, "similarity_fn_name": "dot"}],
)
def test_prompts_that_are_put_before_a_text_only_on_demand_change_nothing(
    encoder: Path, config: dict[str, Any]
) -> None:
    write(encoder / "config_sentence_transformers.json", config)
    assert recipe(encoder) is None


def test_texts_are_at_most_as_long_as_the_source_says(encoder: Path) -> None:
    write(encoder / "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": False})
    assert Manifest.of(imported(encoder)).context_tokens == 16
    write(encoder / "sentence_bert_config.json", {"max_seq_length": 1000})
    assert Manifest.of(imported(encoder)).context_tokens == 32


def test_a_changed_recipe_is_another_checkpoint_of_the_same_name(encoder: Path) -> None:
    first = imported(encoder)
    write(encoder / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    second = imported(encoder)
    found = DiskStore(encoder.parent / "checkpoints").find("encoder")
    assert found.id == second.id != first.id
    assert Manifest.of(found).embedding == EmbeddingRecipe(pooling=("cls",))


def test_a_model_in_the_folder_of_its_step_takes_the_recipe_beside_it(tmp_path: Path) -> None:
    """So older versions of sentence-transformers saved it."""
    source = tmp_path / "encoder"
    source.mkdir()
    save_bert(source / "0_Transformer")
    write(source / "modules.json", modules([("0_Transformer", "Transformer"), ("1_Pooling", "Pooling")]))
    write(source / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    first = imported(source)
    assert Manifest.of(first).embedding == EmbeddingRecipe(pooling=("cls",), normalize=False)
    write(source / "1_Pooling" / "config.json", {"pooling_mode_max_tokens": True})
    assert Manifest.of(imported(source)).embedding == EmbeddingRecipe(pooling=("max",), normalize=False)


def test_a_weights_file_named_by_itself_takes_the_recipe_beside_it(encoder: Path) -> None:
    save_file(load_file(encoder / "model.safetensors"), encoder / "own.safetensors", {"format": "pt"})
    write(encoder / "1_Pooling" / "config.json", {"pooling_mode": "max"})
    assert recipe(encoder / "own.safetensors") == EmbeddingRecipe(pooling=("max",))
