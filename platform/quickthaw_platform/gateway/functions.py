"""Functions, their versions and their aliases."""

from __future__ import annotations

from typing import ClassVar

from flask import Response
from pydantic import BaseModel, Field

from quickthaw.resources import DEFAULT_ALIAS, AliasInfo, AliasWeights, Deleted, Rollback, Scope
from quickthaw.types import FunctionInfo, FunctionSpec, Name, Version
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.auth import principal
from quickthaw_platform.gateway.barring import check_spec, check_versions
from quickthaw_platform.gateway.capacity import check_capacity
from quickthaw_platform.gateway.ceilings import check_ceilings
from quickthaw_platform.gateway.function_view import describe, describe_all
from quickthaw_platform.gateway.removal import remove_function
from quickthaw_platform.gateway.resource import FunctionPath, Page, answer, page, resource
from quickthaw_platform.gateway.services import services
from quickthaw_platform.router.view import read_view

api = resource(
    "functions",
    __name__,
    "Functions, their immutable versions, and the aliases that point to them",
    read=Scope.DEPLOY,
    write=Scope.DEPLOY,
    prefix="/v1/functions",
)


class DeployQuery(BaseModel):
    """Where a new version goes."""

    alias: Name = Field(DEFAULT_ALIAS, description="the alias that points to the version from now on")
    require: list[str] = Field([], description="bars that its checkpoint must clear: `perplexity[hf,wikitext-2]<=20`")


class AliasPath(FunctionPath):
    """A function and one of its aliases."""

    refusals: ClassVar = {**FunctionPath.refusals, "alias": InvalidRequest}
    alias: Name = Field(description="name of the alias")


@api.get("", responses={200: Page[FunctionInfo]})
def list_functions() -> Response:
    """List the functions."""
    return page(describe_all(services()))


@api.post("", responses={200: Version})
def deploy_function(query: DeployQuery, body: FunctionSpec) -> Response:
    """Deploy a version and point an alias to it; the same spec again is the same version."""
    found, caller = services(), principal()
    found.room.check()
    check_ceilings(body, found.settings, caller.info.quotas)
    nodes = read_view(found.redis).nodes
    needed = [found.catalogue.find(body.model)]
    if body.adapter is not None:
        needed.append(found.catalogue.find_adapter(body.adapter))
    check_capacity(body, needed, nodes, found.settings.instance_memory)
    check_spec(found, query.require, body)
    return answer(found.registry.deploy(body, query.alias, check_source=found.checks.check_source))


@api.get("/<name>", responses={200: FunctionInfo})
def get_function(path: FunctionPath) -> Response:
    """Describe a function."""
    return answer(describe(services(), path.name))


@api.delete("/<name>", responses={200: Deleted})
def delete_function(path: FunctionPath) -> Response:
    """Delete a function; what runs ends undisturbed, what waits is cancelled."""
    remove_function(services(), path.name)
    return answer(Deleted())


@api.get("/<name>/versions", responses={200: Page[Version]})
def list_versions(path: FunctionPath) -> Response:
    """List a function's versions in order of first deploy."""
    return page(services().registry.versions(path.name))


@api.get("/<name>/aliases", responses={200: Page[AliasInfo]})
def list_aliases(path: FunctionPath) -> Response:
    """List a function's aliases."""
    aliases = services().registry.get(path.name).aliases
    return page(AliasInfo(name=alias, weights=dict(weights)) for alias, weights in sorted(aliases.items()))


@api.put("/<name>/aliases/<alias>", responses={200: AliasInfo})
def set_alias(path: AliasPath, body: AliasWeights) -> Response:
    """Point an alias to one version, or to several by weight (a canary), each of which clears the bars of `require`."""
    check_versions(services(), body.require, path.name, body.weights)
    record = services().registry.set_alias(path.name, path.alias, body.weights)
    return answer(AliasInfo(name=path.alias, weights=dict(record.aliases[path.alias])))


@api.delete("/<name>/aliases/<alias>", responses={200: Deleted})
def delete_alias(path: AliasPath) -> Response:
    """Forget an alias; `live` stays."""
    services().registry.remove_alias(path.name, path.alias)
    return answer(Deleted())


@api.post("/<name>/rollback", responses={200: AliasInfo})
def rollback(path: FunctionPath, body: Rollback) -> Response:
    """Point an alias back to what it pointed to before, or to the version named."""
    registry = services().registry
    if body.version is None:
        record = registry.rollback(path.name, body.alias)
    else:
        record = registry.set_alias(path.name, body.alias, {body.version: 1.0})
    return answer(AliasInfo(name=body.alias, weights=dict(record.aliases[body.alias])))
