"""Which engine runs a checkpoint, where a function names none, and which may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quickthaw.resources import CheckpointInfo
from quickthaw_platform import plugins
from quickthaw_platform.contracts import TakesAdapters
from quickthaw_platform.errors import InvalidRequest

FALLBACK = "transformers"
PREFERRED: Mapping[str, Sequence[str]] = {"gguf": ("llamacpp",)}
"""By format of the weights: engines that are better than FALLBACK at it, best first."""


def default_engine(weights_format: str) -> str:
    """Return the best engine for weights of a format that is registered here with all that it needs."""
    known = plugins.names(plugins.ENGINES)
    usable = (name for name in PREFERRED.get(weights_format, ()) if name in known and _is_complete(name))
    return next(usable, FALLBACK)


def check_takes(engine: str, model: str, weights_format: str, task: str) -> None:
    """Raise InvalidRequest where the engine cannot read a checkpoint called `model`, or nothing can be served of it."""
    if task == "adapter":
        raise InvalidRequest(
            f"checkpoint {model!r} is a LoRA adapter, not a model; deploy the model that it was trained on, with this "
            "as its adapter",
            param="model",
        )
    taken = plugins.engine_class(engine).weights_formats
    if weights_format not in taken:
        raise InvalidRequest(
            f"engine {engine!r} reads weights in {' or '.join(sorted(taken))}, and checkpoint {model!r} is stored as "
            f"{weights_format}; {_advice(weights_format)}",
            param="engine",
        )


def check_adapter(engine: str, adapter: CheckpointInfo, model: CheckpointInfo) -> None:
    """Raise InvalidRequest where a checkpoint is no adapter, is none for this model, or the engine takes none.

    Whether the shapes fit is seen at the start, when the engine reads both.
    """
    if adapter.task != "adapter":
        raise _refused(
            f"checkpoint {adapter.name!r} is a model, not a LoRA adapter; name an adapter that was made for it"
        )
    if not issubclass(plugins.engine_class(engine), TakesAdapters):
        raise _refused(f"engine {engine!r} takes no adapters; llamacpp does, with a GGUF file of the model")
    fitting, found = adapter.gguf_architecture, model.gguf_architecture
    if fitting and found and fitting != found:
        raise _refused(
            f"adapter {adapter.name!r} is for models of the architecture {fitting!r}, and {model.name!r} is of "
            f"{found!r}"
        )


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="adapter")


def _advice(weights_format: str) -> str:
    if weights_format == "gguf":
        return "deploy it with another engine, or import it again with --dtype, which dequantises it"
    return "deploy it with another engine, or import a GGUF file of the model"


def _is_complete(name: str) -> bool:
    return plugins.engine_class(name).missing() is None
