"""How an encoder's vector of a text is made, as sentence-transformers writes it down: a list of what is allowed.

`modules.json` names the steps in order. Transformer, Pooling and Normalize are computed; all else is refused by name,
since a vector that lacks a step looks like any other and compares wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from quickthaw_platform.checkpoints.importers.json_files import read_json
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe, Pooling
from quickthaw_platform.errors import InvalidRequest

_STEPS = ("Transformer", "Pooling", "Normalize")
_OLDER_NAMES: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""In the order in which their vectors are put together."""
_SIZES = ("word_embedding_dimension", "embedding_dimension")
_NO_CHANGE: dict[str, tuple[Any, ...]] = {
    "transformer_task": (None, "feature-extraction"),
    "module_output_name": (None, "token_embeddings"),
    "processing_kwargs": (None, {}),
    "model_args": (None, {}),
    "tokenizer_args": (None, {}),
    "config_args": (None, {}),
    "query_expansion": (None, False),
}
"""Settings of the step Transformer, and with which values they change no vector."""
_HARMLESS = ("max_seq_length", "do_lower_case", "modality_config", "unpad_inputs", "query_length", "document_length")


class TextLimits(NamedTuple):
    """What the step Transformer says of a text before it is tokenized."""

    most_tokens: int | None  # None: as many as the model can see
    lower_case: bool


def read_recipe(directory: Path) -> EmbeddingRecipe:
    """Return how vectors are made; without a word on it, the mean over the tokens, brought to length 1.

    Raises InvalidRequest, naming the file and the step or setting, for what is not computed.
    """
    file = _modules_file(directory)
    if file is None:
        pooling = directory / "1_Pooling" / "config.json"
        return EmbeddingRecipe(pooling=_pooling(pooling) if pooling.is_file() else ("mean",))
    modules = _modules(file)
    steps = [_step(file, module) for module in modules]
    if steps not in (list(_STEPS), list(_STEPS[:2])):
        raise InvalidRequest(f"{file} makes vectors by {', '.join(steps)}; only {', '.join(_STEPS)} are, in this order")
    if len(modules) == len(_STEPS):
        _check_normalize(file.parent / _path(modules[2]) / "config.json")
    _refuse_default_prompt(file.parent / "config_sentence_transformers.json")
    return EmbeddingRecipe(
        pooling=_pooling(file.parent / _path(modules[1]) / "config.json"), normalize=len(modules) == len(_STEPS)
    )


def read_limits(directory: Path) -> TextLimits:
    """Return what holds for a text. Raises InvalidRequest for a setting that would change its vector."""
    found = sorted(directory.glob("sentence_*_config.json"))
    config = _object(found[0]) if found else {}
    for name, value in config.items():
        if name not in _HARMLESS and value not in _NO_CHANGE.get(name, (None,)):
            raise InvalidRequest(f"{found[0]} sets {name} to {value!r}, which is not supported; leave it out")
    most = config.get("max_seq_length")
    if most is not None and (not isinstance(most, int) or most < 1):
        raise InvalidRequest(f"{found[0]}: max_seq_length is {most!r}, which is no number of tokens")
    return TextLimits(most, bool(config.get("do_lower_case")))


def recipe_files(directory: Path) -> list[Path]:
    """Return the files below the directory, or beside it where it is a step's own, that a recipe is read from."""
    file = _modules_file(directory)
    named = [] if file is None else [file.parent / path for module in _modules(file) if (path := _path(module))]
    folders = {directory / "1_Pooling", *named} - {directory}
    beside = (
        [] if file is None or file.parent == directory else [file, file.parent / "config_sentence_transformers.json"]
    )
    found = {one for folder in folders for one in folder.rglob("*") if one.is_file()}
    return sorted({*found, *filter(Path.is_file, beside)})


def _modules_file(directory: Path) -> Path | None:
    """Return the list of steps: in the directory, or above it where the directory is the first step's own."""
    own, above = directory / "modules.json", directory.parent / "modules.json"
    if own.is_file():
        return own
    if above.is_file() and any(_path(module) == directory.name for module in _modules(above)[:1]):
        return above
    return None


def _modules(file: Path) -> list[Mapping[str, Any]]:
    found = _json(file)
    if not isinstance(found, list) or not found or not all(isinstance(module, dict) for module in found):
        raise InvalidRequest(f"{file} is no list of modules; fetch it again")
    try:
        return sorted(found, key=lambda module: int(module.get("idx", 0)))
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"{file} has a module whose idx is no number; fetch it again") from error


def _path(module: Mapping[str, Any]) -> str:
    path = str(module.get("path", ""))
    if path.startswith("/") or ".." in path.replace("\\", "/").split("/"):
        raise InvalidRequest(f"modules.json names the folder {path!r}, which leads out of it; do not trust this source")
    return path


def _step(file: Path, module: Mapping[str, Any]) -> str:
    package, _, name = str(module.get("type", "")).rpartition(".")
    if name not in _STEPS or package.partition(".")[0] != "sentence_transformers":
        where = _path(module) or module.get("name") or "unnamed"
        raise InvalidRequest(
            f"{file} makes vectors with {module.get('type')!r} ({where}), which is not supported; "
            f"only {', '.join(_STEPS)} of sentence-transformers are"
        )
    return name


def _pooling(file: Path) -> tuple[Pooling, ...]:
    config = _object(file)
    for name in config.keys() - {*_OLDER_NAMES, *_SIZES, "pooling_mode", "include_prompt"}:
        raise InvalidRequest(f"{file} has the setting {name!r}, which is not supported")
    modes = config.get("pooling_mode")
    if modes is None:
        return tuple(_older_modes(config)) or ("mean",)
    known = tuple(_OLDER_NAMES.values())
    named = [modes] if isinstance(modes, str) else modes
    if not isinstance(named, list) or not named or any(mode not in known for mode in named):
        raise InvalidRequest(f"{file}: pooling_mode {modes!r} is not supported; known: {', '.join(known)}")
    return tuple(named)


def _older_modes(config: Mapping[str, Any]) -> Iterator[Pooling]:
    return (mode for name, mode in _OLDER_NAMES.items() if config.get(name))


def _check_normalize(file: Path) -> None:
    config = _object(file) if file.is_file() else {}
    for name, value in config.items():
        if name not in ("module_input_name", "module_output_name") or value not in (None, "sentence_embedding"):
            raise InvalidRequest(
                f"{file} sets {name} to {value!r}, which is not supported; only vectors are normalised"
            )


def _refuse_default_prompt(file: Path) -> None:
    """A prompt that is put before each text unasked would have to be put there by us."""
    config = _object(file) if file.is_file() else {}
    name = config.get("default_prompt_name")
    if name is not None and (config.get("prompts") or {}).get(name):
        raise InvalidRequest(
            f"{file} puts the prompt {name!r} before each text (default_prompt_name), which is not supported; set it "
            "to null, import again and put the prompt before your texts"
        )


def _object(file: Path) -> dict[str, Any]:
    found = _json(file)
    if not isinstance(found, dict):
        raise InvalidRequest(f"{file} is no JSON object; fetch it again")
    return found


def _json(file: Path) -> Any:
    try:
        return read_json(file)
    except FileNotFoundError as error:
        raise InvalidRequest(f"{file} is missing, which modules.json names; fetch it") from error
    except ValueError as error:
        raise InvalidRequest(f"{file} is not JSON: {error}; fetch it again") from error
