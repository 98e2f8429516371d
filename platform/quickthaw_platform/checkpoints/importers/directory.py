"""Hugging Face directories: `config.json`, a tokenizer, and weights in safetensors or `.bin` files, sharded or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickthaw_platform.checkpoints.importers.checking import check_weights, refuse_pointers
from quickthaw_platform.checkpoints.importers.embedding_recipe import read_limits, read_recipe
from quickthaw_platform.checkpoints.importers.json_files import read_json
from quickthaw_platform.checkpoints.importers.loaded import DTYPES, LoadedModel, Task, read_model, read_tokenizer
from quickthaw_platform.checkpoints.importers.source import Source, spdx
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe
from quickthaw_platform.errors import InvalidRequest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_KINDS = {"architectures": list, "model_type": str, "quantization_config": dict, "text_config": dict}
"""Fields of config.json that are looked at here, and what they are where they are not null."""

_CARD_CHARACTERS = 1 << 20
"""Of a model card that are read: the front matter comes first."""

_NAMES = {list: "list", str: "text", dict: "object"}
_BY_CODE = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def default_dtype(source: Source) -> str:
    """Return what the weights are stored in, as config or weights say it."""
    config = _config(source.path)
    named = str(config.get("dtype") or config.get("torch_dtype") or "")
    return named if named in DTYPES else _stored_dtype(source.path)


def check(source: Source) -> None:
    """Look at the files before a library does (see `check_weights`)."""
    refuse_pointers(file for file in source.files() if file.suffix not in (".safetensors", ".bin"))
    check_weights(source.path)


def load(source: Source, dtype: str) -> LoadedModel:
    """Read the directory's model."""
    config = _config(source.path)
    quantization = config.get("quantization_config")
    if quantization is not None:
        method = quantization.get("quant_method", "unknown")
        raise InvalidRequest(
            f"{source.path} is quantised ({method}); import the original weights or a GGUF file instead"
        )
    task = _task(config)
    if task == "embed":
        read_recipe(source.path)
    directory = str(source.path)
    tokenizer = read_tokenizer(directory)
    model = read_model(task, directory, dtype)
    if task == "generate":
        _name_no_other_end(model, config, source.path)
    loaded = LoadedModel(model, tokenizer, task, _model_card_license(source.path))
    return _as_encoder(loaded, source.path) if task == "embed" else loaded


def _config(directory: Path) -> dict[str, Any]:
    """Return what config.json says; InvalidRequest names the file, and the field that is not what it has to be."""
    file = directory / "config.json"
    try:
        config: object = read_json(file)
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidRequest(f"{file} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise InvalidRequest(f"{file} is not a JSON object; fetch it again")
    for name, kind in _KINDS.items():
        if config.get(name) is not None and not isinstance(config[name], kind):
            raise InvalidRequest(f"{file}: {name} is no {_NAMES[kind]}; fetch it again")
    if not all(isinstance(name, str) for name in config.get("architectures") or ()):
        raise InvalidRequest(f"{file}: architectures are names; fetch it again")
    return config


def _name_no_other_end(model: PreTrainedModel, written: dict[str, Any], directory: Path) -> None:
    """Take out the end token that transformers fills in where no file names one: it is another vocabulary's."""
    text = written.get("text_config") or written
    for config, own in ((model.config, written), (model.config.get_text_config(), text)):
        if "eos_token_id" not in own:
            config.eos_token_id = None
    if not (directory / "generation_config.json").is_file():
        model.generation_config.eos_token_id = text.get("eos_token_id", written.get("eos_token_id"))


def _task(config: dict[str, Any]) -> Task:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_MAPPING_NAMES

    named = set(config.get("architectures") or ())
    if named & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
        return "generate"
    encoder = MODEL_MAPPING_NAMES.get(config.get("model_type") or "")
    if encoder in named and not config.get("is_encoder_decoder"):
        return "embed"
    raise InvalidRequest(
        f"architecture {', '.join(sorted(named)) or 'unknown'} is neither a decoder-only language model nor an encoder "
        "for embeddings as transformers knows them"
    )


def _stored_dtype(directory: Path) -> str:
    """Return the type of the first float tensor in the first safetensors file; float32 where there is none."""
    codes = (tensor.dtype for header in check_weights(directory)[:1] for tensor in header.tensors)
    return next((_BY_CODE[code] for code in codes if code in _BY_CODE), "float32")


def _as_encoder(model: LoadedModel, directory: Path) -> LoadedModel:
    """Return the model with what the directory says of vectors. InvalidRequest names what cannot be computed."""
    recipe, limits = read_recipe(directory), read_limits(directory)
    if limits.lower_case and not _lowers(model.tokenizer):
        raise InvalidRequest(
            f"{directory} has each text in lower case (do_lower_case), which its tokenizer does not; set it to false, "
            "import again and send texts in lower case"
        )
    return replace(model, embedding=None if recipe == EmbeddingRecipe() else recipe, most_tokens=limits.most_tokens)


def _lowers(tokenizer: PreTrainedTokenizerBase) -> bool:
    normalizer = tokenizer.backend_tokenizer.normalizer
    return normalizer is not None and normalizer.normalize_str("AB") == normalizer.normalize_str("ab")


def _model_card_license(directory: Path) -> str | None:
    """Return the licence in the front matter of the model card."""
    card = directory / "README.md"
    lines = _beginning(card).splitlines() if card.is_file() else []
    if not lines or lines[0].strip() != "---":
        return None
    matter = lines[1 : lines.index("---", 1)] if "---" in lines[1:] else []
    named = (line.partition(":")[2].strip() for line in matter if line.startswith("license:"))
    return spdx(next(named, None) or None)


def _beginning(card: Path) -> str:
    with card.open(errors="replace") as opened:
        return opened.read(_CARD_CHARACTERS)
