"""Which engine a deploy takes, and which it refuses, by the format of the checkpoint's weights."""

from __future__ import annotations

from typing import ClassVar

import pytest
from redis import Redis

from quickthaw.resources import CheckpointInfo
from quickthaw.types import FunctionSpec
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform import plugins
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.engines import default_engine
from quickthaw_platform.registry.functions import FunctionRegistry


class LlamaCpp(EchoEngine):
    """Stands for the engine llamacpp, with its packages."""

    weights_formats: ClassVar[frozenset[str]] = frozenset({"gguf"})


class WithoutPackages(LlamaCpp):
    """The same where its extra is not installed."""

    @classmethod
    def missing(cls) -> str | None:
        return "it needs more"


def installed(monkeypatch: pytest.MonkeyPatch, **engines: type) -> None:
    known = {"echo": EchoEngine, "transformers": TransformersEngine, **engines}
    monkeypatch.setattr(plugins, "names", lambda _group: sorted(known))
    monkeypatch.setattr(plugins, "engine_class", known.__getitem__)


@pytest.fixture
def registry(redis: Redis) -> FunctionRegistry:
    known = {"bytes": 1, "context_tokens": 128}
    Catalogue(redis).announce(
        [
            CheckpointInfo(id="1", name="dense", task="generate", **known),
            CheckpointInfo(id="2", name="kept", task="generate", weights_format="gguf", **known),
            CheckpointInfo(id="3", name="lora", task="adapter", weights_format="gguf", **known),
        ]
    )
    return FunctionRegistry(redis)


@pytest.mark.parametrize(
    ("engine", "weights_format", "chosen"),
    [
        (LlamaCpp, "gguf", "llamacpp"),
        (LlamaCpp, "safetensors", "transformers"),
        (WithoutPackages, "gguf", "transformers"),  # its extra is not installed
        (None, "gguf", "transformers"),  # nothing of that name is registered
    ],
)
def test_the_best_engine_that_is_complete_here_is_the_default(
    monkeypatch: pytest.MonkeyPatch, engine: type | None, weights_format: str, chosen: str
) -> None:
    installed(monkeypatch, **({} if engine is None else {"llamacpp": engine}))
    assert default_engine(weights_format) == chosen


def test_the_version_records_the_engine_that_was_chosen(
    registry: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, llamacpp=LlamaCpp)
    kept = registry.deploy(FunctionSpec(name="a", model="kept"))
    dense = registry.deploy(FunctionSpec(name="b", model="dense"))
    assert [version.engine for version in (kept, dense)] == ["llamacpp", "transformers"]
    assert registry.version(kept.id).spec.engine == "llamacpp"
    installed(monkeypatch)
    assert registry.version(kept.id).engine == "llamacpp"  # what is installed later changes no version


def test_naming_the_default_is_the_same_version_as_leaving_it_open(
    registry: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, llamacpp=LlamaCpp)
    first = registry.deploy(FunctionSpec(name="a", model="kept"))
    assert registry.deploy(FunctionSpec(name="a", model="kept", engine="llamacpp")).id == first.id
    assert registry.deploy(FunctionSpec(name="a", model="kept", engine="transformers")).id != first.id


def test_an_engine_that_cannot_read_the_format_is_refused(
    registry: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, llamacpp=LlamaCpp)
    with pytest.raises(InvalidRequest, match="'llamacpp' reads weights in gguf, and checkpoint 'dense' is stored as"):
        registry.deploy(FunctionSpec(name="a", model="dense", engine="llamacpp"))
    installed(monkeypatch, vllm=type("Vllm", (EchoEngine,), {"weights_formats": frozenset({"safetensors"})}))
    with pytest.raises(InvalidRequest, match="import it again with --dtype"):
        registry.deploy(FunctionSpec(name="a", model="kept", engine="vllm"))
    assert registry.list() == []


def test_an_adapter_is_no_model_of_a_function(registry: FunctionRegistry) -> None:
    with pytest.raises(InvalidRequest, match="'lora' is a LoRA adapter, not a model"):
        registry.deploy(FunctionSpec(name="a", model="lora"))
