"""Who calls, and whether they may: an API key as a bearer token or as `x-api-key`, checked before anything of the
request is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import g, request

from quickthaw.resources import KeyInfo, Scope
from quickthaw_platform.errors import AuthenticationFailed, PermissionDenied
from quickthaw_platform.gateway import open_requests
from quickthaw_platform.gateway.services import services
from quickthaw_platform.registry.keys import StoredKey

READING = frozenset({"GET", "HEAD", "OPTIONS"})
KEY_HEADER = "x-api-key"
"""Where Anthropic's clients send the key."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller."""

    key: StoredKey

    @property
    def info(self) -> KeyInfo:
        """The key's record."""
        return self.key.info

    @property
    def key_id(self) -> str:
        """The key's id."""
        return self.key.info.id

    def allows(self, scope: Scope) -> bool:
        """Whether the caller may do what needs `scope`."""
        return self.key.allows(scope)


def principal() -> Principal:
    """Return the caller of the current request."""
    return cast("Principal", g.principal)


def requires(read: Scope, write: Scope) -> Callable[[], None]:
    """Make a hook that lets a request through only with the scope that its method needs."""

    def check() -> None:
        found, method = services(), request.method
        caller = g.principal = Principal(found.keys.verify(_sent_key()))
        scope = read if method in READING else write
        if not caller.allows(scope):
            raise PermissionDenied(f"this call needs an API key with the scope {scope.value!r}")
        if method != "DELETE":  # what ends calls is never refused for those that are open
            open_requests.count(found.open_requests, caller.key_id)

    return check


def carries_key() -> bool:
    """Whether the request has an API key, valid or not."""
    return bool(_sent_keys())


def _sent_keys() -> set[str]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return {key for key in (bearer, request.headers.get(KEY_HEADER, "").strip()) if key}


def _sent_key() -> str:
    """Return the key that the request carries; AuthenticationFailed for none, and for two that differ."""
    sent = _sent_keys()
    if not sent:
        raise AuthenticationFailed(f"no API key was sent; send `Authorization: Bearer <key>` or `{KEY_HEADER}: <key>`")
    if len(sent) > 1:
        raise AuthenticationFailed(f"`Authorization` and `{KEY_HEADER}` hold two different API keys; send one of them")
    return sent.pop()
