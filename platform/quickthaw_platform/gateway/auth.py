"""Who calls, and whether they may: an API key as a bearer token, checked before anything of the request is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import g, request

from quickthaw.resources import KeyInfo, Scope
from quickthaw_platform.errors import AuthenticationFailed, PermissionDenied
from quickthaw_platform.gateway.services import services
from quickthaw_platform.registry.keys import StoredKey

READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller; without a key only where the settings ask for none."""

    key: StoredKey | None

    @property
    def info(self) -> KeyInfo | None:
        """The key's record."""
        return self.key.info if self.key else None

    @property
    def key_id(self) -> str | None:
        """The key's id."""
        return self.key.info.id if self.key else None

    def allows(self, scope: Scope) -> bool:
        """Whether the caller may do what needs `scope`."""
        return self.key is None or self.key.allows(scope)


def principal() -> Principal:
    """Return the caller of the current request."""
    return cast("Principal", g.principal)


def requires(read: Scope, write: Scope) -> Callable[[], None]:
    """Make a hook that lets a request through only with the scope that its method needs."""

    def check() -> None:
        g.principal = _authenticate()
        scope = read if request.method in READING else write
        if not g.principal.allows(scope):
            raise PermissionDenied(f"this call needs an API key with the scope {scope.value!r}")

    return check


def _authenticate() -> Principal:
    if not services().settings.require_api_key:
        return Principal(None)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationFailed("no API key was sent; send `Authorization: Bearer <key>`")
    return Principal(services().keys.verify(token.strip()))
