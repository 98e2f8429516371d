"""How functions are listed as models: OpenAI's card, with the status that llama.cpp's router and web UIs know. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from quickthaw_platform.contracts import ClusterView, InstanceState, InstanceView, NodeView

ModelState = Literal["loaded", "loading", "unloaded", "failed"]
STAGE = "text_model"
"""What llama.cpp calls the loading of a language model's weights."""


class LoadProgress(BaseModel):
    """How far the weights of a start are, as llama.cpp's `/models/sse` tells it."""

    stages: tuple[str, ...] = (STAGE,)
    current: str = STAGE
    value: float = Field(ge=0, le=1, description="share of the weights' bytes that are in the node's memory")


class ModelStatus(BaseModel):
    """Whether a function could answer at once."""

    value: ModelState = Field(
        description="loaded: an instance serves; loading: one starts; failed: the last start failed and nothing runs; "
        "unloaded: a call starts one"
    )
    estimate_seconds: float | None = Field(None, description="of loading: until it serves, by the router's estimate")
    progress: LoadProgress | None = Field(None, description="of loading: how far, where the node has told")
    failed: bool | None = Field(None, description="true where the last start failed")
    reason: str | None = Field(None, description="why it failed")


class ModelCard(BaseModel):
    """A function, as OpenAI lists models."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "quickthaw"
    max_model_len: int | None = Field(None, description="most tokens of prompt and answer together, where known")
    status: ModelStatus


class ModelList(BaseModel):
    """All functions."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


def status_of(versions: Sequence[str], view: ClusterView, failures: Mapping[str, str]) -> ModelStatus:
    """Return the status of a function whose calls go to one of `versions`: of several, that of the one nearest to
    serving. `failures` tells of versions whose last start failed.
    """
    wanted = frozenset(versions)
    serving = [found for found in view.instances if found.version in wanted]
    if any(found.state is InstanceState.READY for found in serving):
        return ModelStatus(value="loaded")
    starting = [i for i in serving if i.state in (InstanceState.STARTING, InstanceState.LOADED)]
    if starting:
        return _loading(min(starting, key=lambda instance: instance.start_seconds), view)
    reason = next((failures[version] for version in versions if version in failures), None)
    return ModelStatus(value="unloaded") if reason is None else ModelStatus(value="failed", failed=True, reason=reason)


def _loading(instance: InstanceView, view: ClusterView) -> ModelStatus:
    node = next((node for node in view.nodes if node.id == instance.node), None)
    share = None if node is None else _share(instance, node)
    return ModelStatus(
        value="loading",
        estimate_seconds=round(instance.start_seconds, 3),
        progress=None if share is None else LoadProgress(value=share),
    )


def _share(instance: InstanceView, node: NodeView) -> float | None:
    """Return which share of the instance's weights is in the node's memory; None where the node has not told."""
    left = node.tiers.arriving.get(instance.checkpoint)
    if left is not None and instance.checkpoint_bytes > 0:
        return round(min(1.0, max(0.0, 1 - left / instance.checkpoint_bytes)), 4)
    there = instance.checkpoint in node.tiers.dram or instance.checkpoint in node.templates
    return 1.0 if there else None
