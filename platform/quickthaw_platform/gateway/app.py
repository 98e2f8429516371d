"""The application factory."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery
from flask import Response, g, request
from flask.json.provider import DefaultJSONProvider
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from pydantic import ValidationError
from redis import Redis

from quickthaw.version import VERSION
from quickthaw_platform import plugins
from quickthaw_platform.gateway import (
    checkpoints,
    cors,
    docs,
    errors,
    functions,
    health,
    hosts,
    invocations,
    invoke,
    json_pieces,
    keys,
    logs,
    metrics,
    migrating,
    nodes,
    open_requests,
    pages,
    results,
    router,
    secrets,
    spans,
    turns,
    usage,
)
from quickthaw_platform.gateway.calls import INVOCATION_HEADER
from quickthaw_platform.gateway.expensive_checks.checks import ExpensiveChecks
from quickthaw_platform.gateway.messages import api as messages
from quickthaw_platform.gateway.model_watch import ModelWatch
from quickthaw_platform.gateway.open_requests import OpenRequests
from quickthaw_platform.gateway.openai import chat, completions, embeddings, models, stored_completions
from quickthaw_platform.gateway.prompt_compression.shortener import Shortener
from quickthaw_platform.gateway.quotas import QuotaKeeper
from quickthaw_platform.gateway.requests import BODY_SECONDS, JsonRequest
from quickthaw_platform.gateway.resource import SECURITY_SCHEMES
from quickthaw_platform.gateway.responses import endpoints as responses
from quickthaw_platform.gateway.services import EXTENSION, Services
from quickthaw_platform.gateway.store_room import StoreRoom
from quickthaw_platform.gateway.structure_check.checker import StructureChecker
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.stored import StoredObjects
from quickthaw_platform.invocations.tails import Tails
from quickthaw_platform.metering.tracing import Tracer
from quickthaw_platform.migration.moving import Mover
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.registry.results import Results
from quickthaw_platform.router.cluster import redis_allocator
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.commands import Commands

REQUEST_ID_HEADER = "x-request-id"
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,128}$")
_RESOURCES = (
    functions, secrets, logs, invoke, invocations, chat, completions, embeddings, models, stored_completions,
    responses, messages, nodes, checkpoints, results, migrating, router, keys, usage, pages, health, metrics,
)  # fmt: skip


class _InOrder(DefaultJSONProvider):
    """Writes the fields of an answer in the order in which its record declares them."""

    sort_keys = False


class _Gateway(OpenAPI):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a view or a hook as it is: none of ours is a coroutine, for which Flask would look each time."""
        return func


def create_app(settings: Settings, redis: Redis, celery: Celery, tracer: Tracer | None = None) -> OpenAPI:
    """Build the gateway's WSGI application."""
    app = _Gateway(
        "quickthaw_platform.gateway",
        info=Info(title="quickthaw", version=VERSION, description="Functions for language models"),
        security_schemes=SECURITY_SCHEMES,
        doc_ui=False,
        static_folder=None,
        validation_error_status="4XX",
        validation_error_model=errors.ErrorBody,
        validation_error_callback=_raise_invalid,
    )
    app.request_class = JsonRequest
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.config[BODY_SECONDS] = settings.body_timeout
    app.json = _InOrder(app)
    app.extensions[EXTENSION] = make_services(settings, redis, celery)
    errors.register(app)
    metrics.observe(app)
    spans.observe(app, tracer or Tracer())  # runs after _add_headers' hook has named the invocation
    _add_headers(app)
    open_requests.register(app)
    hosts.register(app, settings)
    cors.register(app, settings)
    for module in _RESOURCES:
        app.register_api(module.api)
    docs.register(app)
    return app


def make_services(settings: Settings, redis: Redis, celery: Celery) -> Services:
    """Put the stores together on one client."""
    slots, commands = SlotStore(redis), Commands(celery)
    policy = plugins.allocation_policy(settings.allocation_policy)
    tails = Tails(redis)
    registry, store = FunctionRegistry(redis), InvocationStore(redis, settings, tails, json_pieces.read)
    catalogue = Catalogue(redis)
    allocator = redis_allocator(redis, policy, commands, settings)
    return Services(
        settings=settings,
        redis=redis,
        registry=registry,
        catalogue=catalogue,
        results=Results(redis),
        keys=KeyStore(redis),
        quotas=QuotaKeeper(redis),
        store=store,
        stored=StoredObjects(redis, settings),
        slots=slots,
        allocator=allocator,
        commands=commands,
        mover=Mover(store, allocator, registry, commands),
        structures=StructureChecker(),
        checks=ExpensiveChecks(),
        shortener=Shortener(),
        models=ModelWatch(redis, registry, catalogue, slots),
        room=StoreRoom(redis),
        open_requests=OpenRequests(settings.max_open_requests),
        tails=tails,
    )


def _raise_invalid(error: ValidationError) -> None:
    raise errors.invalid(error)


def _add_headers(app: OpenAPI) -> None:
    @app.before_request
    def begin() -> None:
        turns.begin()
        sent = request.headers.get(REQUEST_ID_HEADER, "")
        g.request_id = sent if _REQUEST_ID.match(sent) else f"req-{uuid.uuid4().hex}"
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(process="gateway", request=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers[REQUEST_ID_HEADER] = g.get("request_id", "")
        response.headers.update(g.get("ratelimit_headers", {}))
        if "invocation" in g:
            response.headers[INVOCATION_HEADER] = g.invocation
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response
