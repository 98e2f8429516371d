"""A function as it can be deployed: what was left open is filled in, and every check has passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from quickthaw.resources import CheckpointInfo
from quickthaw.types import FunctionSpec, Version
from quickthaw_platform import plugins
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.engines import check_adapter, check_takes, default_engine
from quickthaw_platform.registry.validation import check_spec, version_id


class Deployable(NamedTuple):
    """A whole spec, and the ids of the checkpoints that it names."""

    spec: FunctionSpec
    checkpoint: str
    adapter: str | None

    @property
    def identity(self) -> str:
        """The id of its version, which follows from its content."""
        return version_id(self.spec, self.checkpoint, self.adapter)

    def version(self, number: int, created_at: float) -> Version:
        """Return it as the `number`th version of its function; `created_at` is in Unix seconds."""
        return Version(
            id=self.identity,
            function=self.spec.name,
            number=number,
            checkpoint=self.checkpoint,
            adapter_checkpoint=self.adapter,
            created_at=created_at,
            spec=self.spec,
        )


def deployable(spec: FunctionSpec, catalogue: Catalogue, check_source: Callable[[FunctionSpec], None]) -> Deployable:
    """Return a spec with what its serving backend and the checkpoint's format settle.

    Raises InvalidSource, InvalidRequest, EngineNotFound, BackendNotFound or CheckpointNotFound.
    """
    spec = plugins.serving_backend(spec.backend).settle(spec)
    checkpoint = catalogue.find(spec.model)
    engine = spec.engine or default_engine(checkpoint.weights_format)
    spec = spec.model_copy(update={"engine": engine})
    check_spec(spec)
    check_source(spec)
    if spec.source and spec.handler is None:
        raise InvalidRequest(
            "the source of a function without a handler would never run; name its `file` and `object` as handler, or "
            "leave the source out",
            param="handler",
        )
    check_takes(engine, checkpoint.name, checkpoint.weights_format, checkpoint.task)
    return Deployable(spec, checkpoint.id, _adapter(spec, engine, checkpoint, catalogue))


def _adapter(spec: FunctionSpec, engine: str, model: CheckpointInfo, catalogue: Catalogue) -> str | None:
    """Return the id of the checkpoint that `spec.adapter` means; None: it names none."""
    if spec.adapter is None:
        return None
    adapter = catalogue.find_adapter(spec.adapter)
    check_adapter(engine, adapter, model)
    return adapter.id
