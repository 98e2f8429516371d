"""What a validation is of: a function, a checkpoint by a function made for the time, or another server."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quickthaw.client import Client
from quickthaw.errors import CheckpointNotFound, FunctionNotFound, InvalidRequest, NotFound
from quickthaw.resources import DEFAULT_ALIAS, CheckpointInfo
from quickthaw.types import FunctionSpec, Limits, Version
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.validation.asking import PATH
from quickthaw_platform.validation.leftovers import noted
from quickthaw_platform.validation.result import Subject
from quickthaw_platform.validation.waking import awaken

PREFIX = "validate-"
KEEP_ALIVE_SECONDS = 30.0
PARALLEL_PER_INSTANCE = 2
"""While one text is computed the next one is there already; more would only wait longer for their first output."""

PATIENT = Limits(start=600, first_token=1800, between_tokens=1800, total=3600)
"""A long window's scores come all at once, and a slow machine takes minutes for them."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model that answers: where, what a result says of it, and how much of it there is."""

    target: Target
    subject: Subject
    context_tokens: int | None  # None: unknown
    parallel: int  # calls that it serves at once

    @property
    def identity(self) -> str:
        """What must be the same for scores to be of the same model."""
        one = self.subject
        if one.endpoint:
            return repr((one.endpoint, one.model))
        return repr((one.version or "", one.digest, one.engine, sorted(one.options.items())))


@dataclass(frozen=True, slots=True)
class Making:
    """How a function for a checkpoint is made."""

    engine: str | None = None
    instances: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


def endpoint(url: str, model: str, key: str | None) -> Served:
    """Return another server's model."""
    return Served(Target(url, model, PATH, key), Subject(endpoint=url, model=model), None, PARALLEL_PER_INSTANCE)


@contextmanager
def served(client: Client, name: str, making: Making, folder: Path, say: Callable[[str], None]) -> Iterator[Served]:
    """Give what a name means: a function (or function:alias), else a checkpoint, whose function goes at the end.

    That function is starting already. `folder` is where it is noted, so that after a kill the next validation takes it
    away. Raises NotFound with near names, and InvalidRequest for options for a function, and for an alias that leads to
    several versions.
    """
    try:
        version = _version(client, name)
    except FunctionNotFound as error:
        checkpoint = _checkpoint(client, name, error)
        with _temporary(client, checkpoint, making, folder, say) as made:
            found = _served(client, made.function, made, checkpoint, function=None)
            awaken(found.target)
            yield found
        return
    if making.options:
        raise InvalidRequest(f"{name} is a function, which has engine options of its own", param="option")
    yield _served(client, name, version, client.checkpoint(version.checkpoint), function=name)


def _version(client: Client, name: str) -> Version:
    function, _, alias = name.partition(":")
    alias = alias or DEFAULT_ALIAS
    weights = client.function(function).aliases.get(alias, {})
    live = [version for version, weight in weights.items() if weight > 0]
    if len(live) != 1:
        what = f"leads to {len(live)} versions, whose scores would mix" if live else "leads nowhere"
        raise InvalidRequest(f"{function}:{alias} {what}; make an alias for one version", param="function")
    return next(version for version in client.versions(function) if version.id == live[0])


def _checkpoint(client: Client, name: str, no_function: FunctionNotFound) -> CheckpointInfo:
    try:
        return client.checkpoint(name)
    except CheckpointNotFound as error:
        raise NotFound(f"{no_function.message}; and {error.message}", param="function") from error


@contextmanager
def _temporary(
    client: Client, checkpoint: CheckpointInfo, making: Making, folder: Path, say: Callable[[str], None]
) -> Iterator[Version]:
    spec = FunctionSpec(
        name=PREFIX + secrets.token_hex(4), model=checkpoint.id, engine=making.engine, keep_alive=KEEP_ALIVE_SECONDS,
        max_instances=making.instances, limits=PATIENT, options=dict(making.options),
    )  # fmt: skip
    with noted(client, spec.name, folder, say):
        yield client.deploy(spec)


def _served(client: Client, name: str, version: Version, checkpoint: CheckpointInfo, function: str | None) -> Served:
    spec, known = version.spec, client.endpoint
    wished = spec.options.get("context_tokens")
    context = min(checkpoint.context_tokens, wished) if isinstance(wished, int) else checkpoint.context_tokens
    subject = Subject(
        function=function, version=version.id if function else None, checkpoint=checkpoint.name, digest=checkpoint.id,
        adapter=spec.adapter, engine=version.engine, model=name if function else checkpoint.name,
        dtype=str(spec.options.get("dtype") or checkpoint.quantization or checkpoint.dtype or "") or None,
        options=spec.options,
    )  # fmt: skip
    parallel = spec.max_instances * min(PARALLEL_PER_INSTANCE, spec.concurrency)
    return Served(Target(known.url, name, PATH, known.api_key), subject, context, parallel)
