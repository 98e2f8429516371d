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
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import CheckpointNotFound, InvalidRequest
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.engines import default_engine
from quickthaw_platform.registry.functions import FunctionRegistry


class LlamaCpp(EchoEngine):
    """Stands for the engine llamacpp, with its packages."""

    weights_formats: ClassVar[frozenset[str]] = frozenset({"gguf"})


class Adapting(LlamaCpp):
    """The same, and it takes adapters."""

    def adapt(self, adapter: Checkpoint) -> None:
        """Do nothing."""


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
    llama, qwen = {"gguf_architecture": "llama"}, {"gguf_architecture": "qwen2"}
    Catalogue(redis).announce(
        [
            CheckpointInfo(id="1", name="dense", task="generate", **known),
            CheckpointInfo(id="2", name="kept", task="generate", weights_format="gguf", **known),
            CheckpointInfo(id="3", name="lora", task="adapter", weights_format="gguf", **llama, **known),
            CheckpointInfo(id="4", name="llama", task="generate", weights_format="gguf", **llama, **known),
            CheckpointInfo(id="5", name="qwen", task="generate", weights_format="gguf", **qwen, **known),
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


def test_a_version_records_the_adapter_s_checkpoint_and_differs_by_it(
    registry: FunctionRegistry, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, llamacpp=Adapting)
    plain = registry.deploy(FunctionSpec(name="a", model="llama"))
    adapted = registry.deploy(FunctionSpec(name="a", model="llama", adapter="lora"))
    assert (plain.adapter_checkpoint, adapted.adapter_checkpoint) == (None, "3")
    assert (adapted.checkpoint, adapted.engine) == (plain.checkpoint, "llamacpp")
    assert registry.version(adapted.id) == adapted
    assert registry.deploy(FunctionSpec(name="a", model="llama", adapter="lora")).id == adapted.id
    newer = CheckpointInfo(id="6", name="lora", task="adapter", bytes=1, context_tokens=0)
    Catalogue(redis).announce([newer])
    assert registry.deploy(FunctionSpec(name="a", model="llama", adapter="lora")).id not in (plain.id, adapted.id)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"model": "llama", "adapter": "qwen"}, "'qwen' is a model, not a LoRA adapter"),
        ({"model": "qwen", "adapter": "lora"}, "for models of the architecture 'llama', and 'qwen' is of 'qwen2'"),
        ({"model": "dense", "adapter": "lora"}, "engine 'transformers' takes no adapters; llamacpp does"),
        ({"model": "llama", "adapter": "lora", "engine": "other"}, "engine 'other' takes no adapters"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_with_the_field_s_name(
    registry: FunctionRegistry, monkeypatch: pytest.MonkeyPatch, spec: dict[str, str], reason: str
) -> None:
    installed(monkeypatch, llamacpp=Adapting, other=LlamaCpp)
    with pytest.raises(InvalidRequest, match=reason) as refused:
        registry.deploy(FunctionSpec(name="a", **spec))
    assert refused.value.param == "adapter"
    assert registry.list() == []


def test_an_unknown_adapter_is_refused_with_the_near_names(
    registry: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, llamacpp=Adapting)
    with pytest.raises(CheckpointNotFound, match=r"adapter: .*'lore'; known: lora") as refused:
        registry.deploy(FunctionSpec(name="a", model="llama", adapter="lore"))
    assert refused.value.param == "adapter"


def test_a_beginning_that_would_do_nothing_beside_an_adapter_is_refused(
    registry: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, llamacpp=Adapting)
    with pytest.raises(InvalidRequest, match="not primed") as refused:
        registry.deploy(FunctionSpec(name="a", model="llama", adapter="lora", prefix="Once"))
    assert refused.value.param == "prefix"
    kept = registry.deploy(FunctionSpec(name="a", model="llama", adapter="lora", system="Be kind."))
    assert kept.spec.system == "Be kind."  # it is put before conversations all the same
